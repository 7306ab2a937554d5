"""h5neural repack: what it compresses keeps its bound, and everything else of the file is as it was."""
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import netCDF4
import numpy as np
import pytest

import fields
from fields import ABS, ID, REL
from test_cli import TOOL, h5neural, pytestmark  # noqa: F401 (a fixture and a mark)

FIRST = b"whoever reads this: the values follow"


def everything(path):
    """A file with one of each: links, types, references, scales, creation order, fill values, a user block."""
    with h5py.File(path, "w", userblock_size=1024, track_order=True) as f:
        f.attrs["zeta"], f.attrs["alpha"] = "first", [1, 2]
        group = f.create_group("zz", track_order=True)
        u = group.create_dataset("u", data=fields.wave((20, 30, 40)), chunks=(10, 30, 40), compression="gzip", shuffle=True,
                                 fillvalue=-9.0, track_order=True)
        v = f.create_dataset("a/v", data=fields.specials((100, 90), ">f8", -9999.0), fillvalue=-9999.0)
        x = f.create_dataset("x", data=np.linspace(0, 1, 2000))
        x.make_scale("x of u")
        u.dims[2].label = "across"
        y = f.create_dataset("y", data=np.linspace(0, 1, 40, dtype="f4"))
        y.make_scale("y of u")
        u.dims[2].attach_scale(y)
        f["i"] = np.arange(2000)
        f["same"], f["zz/again"] = u, v
        f["zz/loop"] = f["/"]
        f["soft"], f["nowhere"] = h5py.SoftLink("/zz/u"), h5py.SoftLink("/none")
        f["elsewhere"] = h5py.ExternalLink("other.h5", "/q")
        f["types/pair"] = np.dtype([("n", "f4"), ("to", h5py.ref_dtype), ("said", h5py.string_dtype())])
        f["types/number"] = np.dtype("<f4")
        f["types/pair"].attrs["unit"] = "none"
        named = f.create_dataset("named", (50, 60), dtype=f["types/number"])
        named[...] = fields.wave((50, 60))
        f.create_dataset("few", (4,), dtype=f["types/number"])[...] = [1, 2, 3, 4]
        pairs = f.create_dataset("pairs", (2,), dtype=f["types/pair"])
        pairs[0], pairs[1] = (1, u.ref, "a"), (2, x.ref, "bcd")
        refs = f.create_dataset("refs", (5,), dtype=h5py.ref_dtype)
        refs[0], refs[1], refs[3] = u.ref, f["zz"].ref, f.ref
        regions = f.create_dataset("regions", (2,), dtype=h5py.regionref_dtype)
        regions[0] = u.regionref[3:7, :, 5]
        lists = f.create_dataset("lists", (2,), dtype=h5py.vlen_dtype(h5py.ref_dtype))
        lists[0] = np.array([u.ref, y.ref], dtype=h5py.ref_dtype)
        group.attrs["object"], group.attrs["region"] = u.ref, u.regionref[1:2, 3, :]
        group.attrs.create("typed", np.float32(2.5), dtype=f["types/number"])
        group.attrs.create("empty", h5py.Empty("f4"))
        group.attrs["strings"] = ["a", "bb"]
        u.attrs["zz"], u.attrs["aa"] = 1, 2
        f.create_dataset("growing", data=fields.wave((64, 50)), maxshape=(None, 50), chunks=(16, 50))
        part = f.create_dataset("part", (100, 200), "f4", chunks=(10, 200), fillvalue=7)
        part[30:40] = fields.wave((10, 200))
        f.create_dataset("never", (100, 1000), "f8")
        f.create_dataset("strings", data=["a", "bcd"], dtype=h5py.string_dtype())
        f.create_dataset("summed", data=np.arange(3000, dtype="u2"), chunks=(1000,), fletcher32=True, compression="lzf")
        f.create_dataset("one", data=np.float64(3))
        f.create_dataset("half", data=fields.wave((60, 60), "f2"))
    with open(path, "r+b") as f:
        f.write(FIRST)
    return path


def plain(f, value):
    """A value of an attribute or dataset with references as names."""
    if isinstance(value, h5py.RegionReference):
        if not value:
            return None
        selection = h5py.h5r.get_region(value, f.id)
        return f[value].name, selection.get_select_bounds(), selection.get_select_npoints()
    if isinstance(value, h5py.Reference):
        return f[value].name if value else None
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [plain(f, v) for v in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(f, v) for v in value]
    if isinstance(value, (np.ndarray, np.void)):
        return plain(f, value.tolist())
    return repr(value)


def described(path):
    """Everything a file holds, but for the values and storage of floating-point datasets. Names of objects that have
    several are their first in order, so that two files can be compared."""
    found = {}
    with h5py.File(path) as f:
        def visit(group, name):
            if h5py.h5o.get_info(group.id).addr in seen:
                found[name, "is"] = group.name
                return
            seen.add(h5py.h5o.get_info(group.id).addr)
            order = group.id.get_create_plist().get_link_creation_order()
            found[name, "links"], found[name, "order"] = list(group), order
            attributes(group, name)
            for key in group:
                link, path = group.get(key, getlink=True), f"{name}/{key}"
                found[path, "link"] = type(link).__name__, getattr(link, "path", None), getattr(link, "filename", None)
                found[path, "letters"] = group.id.links.get_info(key.encode()).cset
                if not isinstance(link, h5py.HardLink):
                    continue
                found[path, "names"] = h5py.h5o.get_info(group[key].id).rc
                if isinstance(group[key], h5py.Group):
                    visit(group[key], path)
                elif isinstance(group[key], h5py.Dataset):
                    dataset(group[key], path)
                else:
                    found[path, "type"] = group[key].dtype
                    attributes(group[key], path)

        def attributes(o, name):
            found[name, "attributes"] = list(o.attrs)
            for key in o.attrs:
                identifier = o.attrs.get_id(key)
                if key == "REFERENCE_LIST":
                    continue
                found[name, "@" + key] = plain(f, o.attrs[key]), identifier.dtype, identifier.shape, identifier.get_type().committed()

        def dataset(d, name):
            plist, kind = d.id.get_create_plist(), d.id.get_type()
            found[name, "dataset"] = (d.shape, d.maxshape, d.dtype, repr(d.fillvalue) if d.dtype.kind in "fiu" else None,
                                      kind.committed() and h5py.h5i.get_name(kind), plist.fill_value_defined(),
                                      plist.get_attr_creation_order(), d.is_scale)
            found[name, "scales"] = [[(s.name, d.dims[i].label) for s in d.dims[i].values()] for i in range(len(d.shape))]
            attributes(d, name)
            if d.dtype.kind != "f" or d.size < 1024:
                found[name, "values"] = plain(f, d[()])
                found[name, "filters"] = [plist.get_filter(i) for i in range(plist.get_nfilters())]

        seen = set()
        visit(f["/"], "")
        found["user block"] = f.userblock_size
    return found


def test_virtual_and_external_datasets_stay_so(h5neural, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of external files are looked for here
    values = fields.wave((100, 60))
    with h5py.File(tmp_path / "part.h5", "w", libver="v110") as f:
        f["u"] = values
    layout = h5py.VirtualLayout((100, 60), "f4")
    layout[:] = h5py.VirtualSource("part.h5", "u", (100, 60))
    with h5py.File(tmp_path / "in.h5", "w", libver="v110") as f:
        f.create_virtual_dataset("virtual", layout)
        f.create_dataset("outside", data=values, external=[("values.bin", 0, values.nbytes)])
        f["u"] = values
        f["über"] = values
    h5neural("repack", "--abs", "1e-3", "--dataset", "u,über", tmp_path / "in.h5", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as f:
        assert f["virtual"].is_virtual and f["virtual"].virtual_sources()[0].file_name == "part.h5"
        assert f["outside"].external == [("values.bin", 0, values.nbytes)]
        assert (f["virtual"][...] == values).all()
        fields.check(values, f["über"][...], ABS, 1e-3)
    assert "virtual" in h5neural("repack", "--abs", "1e-3", "--dataset", "virtual", tmp_path / "in.h5", tmp_path / "x.h5", status=2).stderr


def first_bytes(path, count):
    with open(path, "rb") as f:
        return f.read(count)


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110"])
def test_everything_else_is_as_it_was(h5neural, tmp_path, monkeypatch, libver):
    source, out = tmp_path / "in.h5", tmp_path / "out.h5"
    original = h5py.File
    monkeypatch.setattr(h5py, "File", lambda *a, **k: original(*a, **k, **({"libver": libver} if "w" in a else {})))
    everything(source)
    monkeypatch.undo()
    said = {d["path"]: d for d in json.loads(h5neural("repack", "--abs", "1e-3", source, out, "--json").stdout)["datasets"]}
    before, after = described(source), described(out)
    assert before.keys() == after.keys()
    for key in before:
        assert before[key] == after[key], key
    assert first_bytes(out, 1024) == first_bytes(source, 1024) and first_bytes(out, len(FIRST)) == FIRST
    with h5py.File(source) as a, h5py.File(out) as b:
        for name, fill in (("zz/u", -9.0), ("a/v", -9999.0), ("named", None), ("growing", None), ("part", 7)):
            fields.check(a[name][...], b[name][...], ABS, 1e-3, fill=fill)
            assert b[name].id.get_create_plist().get_filter(0)[0] == ID
        for name in ("x", "y", "few", "one", "half"):
            assert a[name][()].tobytes() == b[name][()].tobytes()
        assert b["part"].id.get_num_chunks() == 1 and b["never"].id.get_num_chunks() == 0
        assert b["zz/u"].chunks == a["zz/u"].chunks and b["same"] == b["zz/u"] and b["soft"] == b["zz/u"]
    copied = {path for path, d in said.items() if "copied" in d}
    assert {"/x", "/y", "/i", "/half", "/one"} <= copied and not {"/named", "/growing", "/part"} & copied
    assert os.listdir(tmp_path) == ["in.h5", "out.h5"] or sorted(os.listdir(tmp_path)) == ["in.h5", "out.h5"]


def test_netcdf_stays_netcdf(h5neural, run, tmp_path):
    source, out = tmp_path / "in.nc", tmp_path / "out.nc"
    with netCDF4.Dataset(source, "w") as d:
        for name, n in (("t", None), ("y", 70), ("x", 80)):
            d.createDimension(name, n)
        for name in ("t", "y", "x"):
            d.createVariable(name, "f8", (name,))[...] = np.arange(3 if name == "t" else 70 if name == "y" else 80)
        u = d.createVariable("u", "f4", ("t", "y", "x"), fill_value=-1e30, zlib=True)
        u.set_auto_mask(False)
        u[...] = fields.specials((3, 70, 80), "f4", -1e30)
        u.units = "K"
        d.createGroup("g").createVariable("w", "f8", ("y", "x"))[...] = fields.wave((70, 80), "f8")
        d.title = "a title"
    h5neural("repack", "--abs", "1e-3", source, out)
    headers = [run("ncdump", "-h", path).replace("in.nc", "").replace("netcdf in", "netcdf out") for path in (source, out)]
    assert headers[0] == headers[1]
    with netCDF4.Dataset(source) as a, netCDF4.Dataset(out) as b:
        for d in (a, b):
            d.set_auto_mask(False)
        fields.check(a["u"][...], b["u"][...], ABS, 1e-3, fill=-1e30)
        fields.check(a["g/w"][...], b["g/w"][...], ABS, 1e-3)
        assert (a["x"][...] == b["x"][...]).all() and list(b.dimensions) == ["t", "y", "x"] and b.dimensions["t"].isunlimited()
    with netCDF4.Dataset(out, "a") as d:  # and it goes on growing
        d["u"][3] = np.zeros((70, 80), "f4")


def test_what_is_named_and_only_that(h5neural, tmp_path):
    source, middle, out = tmp_path / "in.h5", tmp_path / "middle.h5", tmp_path / "out.h5"
    everything(source)
    h5neural("repack", "--abs", "1e-3", "--dataset", "soft,/x", source, middle)  # a link to /zz/u, and a scale
    with h5py.File(source) as a, h5py.File(middle) as b:
        assert b["named"].chunks is None and b["zz/u"].id.get_create_plist().get_nfilters() == 1
        fields.check(a["x"][...], b["x"][...], ABS, 1e-3)
        first = b["zz/u"].id.read_direct_chunk((0, 0, 0))[1]
    # A second bound for other datasets leaves the first ones alone, byte for byte.
    h5neural("repack", "--rel", "1e-2", "--dataset", "/", "--chunk", "20,30", middle, out)
    with h5py.File(source) as a, h5py.File(out) as b:
        assert b["zz/u"].id.read_direct_chunk((0, 0, 0))[1] == first
        assert b["named"].chunks == (20, 30) and b["growing"].chunks == (20, 30)
        fields.check(a["named"][...], b["named"][...], REL, 1e-2, (20, 30))


def test_a_contiguous_dataset_is_cut_for_the_cache(h5neural, tmp_path):
    values = fields.wave((70, 80, 200), "f8")
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["u"] = values
    h5neural("repack", "--abs", "1e-3", tmp_path / "in.h5", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as f:
        chunk = f["u"].chunks
        assert np.prod(chunk) * 8 <= 2**20 < np.prod(chunk) * 8 * 3 and max(chunk) < 2.5 * min(chunk)
        fields.check(values, f["u"][...], ABS, 1e-3)


def test_many_large_chunks_are_encoded_once(h5neural, tmp_path):
    """Chunks above HDF5's cache, written from rows that cut them: encoded twice, errors would pass the bound."""
    values = np.cumsum(np.random.default_rng(1).standard_normal((600, 1200)), 1)
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("u", data=values, chunks=(1, 1200))
    h5neural("repack", "--abs", "1e-2", "--chunk", "600,400", tmp_path / "in.h5", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as f:
        fields.check(values, f["u"][...], ABS, 1e-2)


@pytest.mark.parametrize("arguments, says", [
    (["--abs", "1e-3", "IN", "IN"], "same file"), (["--abs", "1e-3", "IN", "LINK"], "same file"),
    (["--abs", "1e-3", "IN", "FOLDER"], "not a regular file"), (["--abs", "1e-3", "IN", "FOLDER/none/out.h5"], "folder of yours"),
    (["--abs", "1e-3", "--dataset", "i", "IN", "OUT"], "int64"), (["--abs", "1e-3", "--dataset", "half", "IN", "OUT"], "float16"),
    (["--abs", "1e-3", "--dataset", "no", "IN", "OUT"], "no dataset or group"),
    (["--abs", "1e-3", "--dataset", "named", "--chunk", "5", "IN", "OUT"], "1 axes"),
    (["--abs", "1e-3", "--chunk", "5,x", "IN", "OUT"], "--chunk"), (["IN", "OUT"], ""), (["--abs", "0", "IN", "OUT"], "bound"),
    (["--abs", "1e-3", "FOLDER/no.h5", "OUT"], "no such file"), (["--abs", "1e-3", "TEXT", "OUT"], "HDF5"),
    (["--abs", "1e-3", "--model", "no-such", "IN", "OUT"], "no-such"),
    (["--abs", "1e-3", "--model", "0123456789abcdef", "IN", "OUT"], "0123456789abcdef"),
])
def test_refusals_write_nothing(h5neural, tmp_path, arguments, says):
    source = everything(tmp_path / "in.h5")
    os.symlink(source, tmp_path / "link.h5")
    (tmp_path / "text").write_text("no HDF5")
    (tmp_path / "out.h5").write_text("was here before")
    before = source.read_bytes()
    names = {"IN": source, "OUT": tmp_path / "out.h5", "LINK": tmp_path / "link.h5", "FOLDER": tmp_path, "TEXT": tmp_path / "text"}
    arguments = [str(names.get(a, a)) if a in names else a.replace("FOLDER", str(tmp_path)) for a in arguments]
    done = h5neural("repack", *arguments, status=2)
    assert says in done.stderr and done.stderr
    assert source.read_bytes() == before and (tmp_path / "out.h5").read_text() == "was here before"
    assert sorted(os.listdir(tmp_path)) == ["in.h5", "link.h5", "out.h5", "text"]


def test_a_damaged_input_writes_nothing(h5neural, tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("u", data=fields.wave((40, 50)), chunks=(40, 50), compression="gzip", fletcher32=True)
        at = f["u"].id.get_chunk_info(0).byte_offset
    with open(tmp_path / "in.h5", "r+b") as f:
        f.seek(at + 100)
        f.write(b"\xff\x00\xff")
    assert "/u" in h5neural("repack", "--abs", "1e-3", tmp_path / "in.h5", tmp_path / "out.h5", status=2).stderr
    assert os.listdir(tmp_path) == ["in.h5"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_writes_nothing(tmp_path, number):
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["u"] = np.random.default_rng(1).standard_normal((400, 300, 300))
    # Whoever started the tests may have had the signal ignored (nohup, a shell's background).
    process = subprocess.Popen([TOOL, "repack", "--abs", "1e-4", "--effort", "9", tmp_path / "in.h5", tmp_path / "out.h5"],
                               stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    process.stderr.readline()  # "coding /u"
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(60) == -number and os.listdir(tmp_path) == ["in.h5"]


def test_without_the_plugin(h5neural, tmp_path):
    """A chunk that another program's reader could not read is never left behind: the doctor is named instead."""
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["u"] = fields.wave((40, 50))
    done = h5neural("repack", "--abs", "1e-3", tmp_path / "in.h5", tmp_path / "out.h5", status=2, env={"HDF5_PLUGIN_PRELOAD": "::"})
    assert "doctor" in done.stderr and os.listdir(tmp_path) == ["in.h5"]


def test_a_model_by_name_and_by_hash(h5neural, tmp_path):
    """The choice on the command line is what the file's filter values and payloads say."""
    subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "..", "fields",
                   "two_puncture.py"), tmp_path / "in.h5", "--split", "test", "--count", "2", "--variables", "U_CHI"],
                   check=True, timeout=120)
    found = {w["name"]: w["sha256"] for w in json.loads(h5neural("weights", "list", "--json").stdout)}
    digits = found["swae-chunk32-chi"][:16]
    with h5py.File(tmp_path / "in.h5") as f:
        f0 = f["U_CHI"]
        shape = f0.shape
    chunk = ",".join(map(str, (1,) * (len(shape) - 3) + shape[-3:]))
    words = {}
    for model in ("none", "auto", "swae-chunk32-chi", digits):
        out = tmp_path / f"{model}.h5"
        h5neural("repack", "--rel", "1e-2", "--chunk", chunk, "--model", model, tmp_path / "in.h5", out)
        with h5py.File(out) as f:
            words[model] = f["U_CHI"].id.get_create_plist().get_filter(0)[2][3:5]
        (d,) = json.loads(h5neural("info", f"{out}:/U_CHI", "--json").stdout)[0]["datasets"]
        used = {c["model_name"] for c in d["chunks"]}
        assert used == ({""} if model == "none" else {"swae-chunk32-chi"}), model
    number = int(digits, 16)
    assert words[digits] == words["swae-chunk32-chi"] == (number >> 32, number & 0xFFFFFFFF)
    assert words["none"] == (2**32 - 1, 2**32 - 1) and words["auto"] == (0, 0)
