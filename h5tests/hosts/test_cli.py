"""The command line, bin/h5neural: what it prints is what other programs understand, and its verdicts are right."""
import json
import os
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import fields
from fields import ABS, BLOCK_NRMSE, ID, LOSSLESS, NRMSE, PSNR, RATIO, REL, ieee

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLUGIN_DIR = os.environ["H5NEURAL_PLUGIN_DIR"]  # conftest.py sees to it
BIN = os.path.normpath(os.path.join(PLUGIN_DIR, "..", "..", "..", "bin"))
TOOL = os.path.join(BIN, "h5neural")
WORKER = os.path.join(BIN, "h5neural-worker")
pytestmark = pytest.mark.skipif(not os.path.exists(TOOL), reason=f"no {TOOL}: built without H5NEURAL_TOOLS")


@pytest.fixture
def h5neural(run):
    """h5neural("flags", "--abs", 1e-3) -> the finished process; h5neural(..., status=1) checks its exit status (None: any)."""

    def runner(*arguments, status=0, **options):
        done = run(TOOL, *arguments, check=False, **options)
        assert status is None or done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return runner


def words_of(path, name="u"):
    """The filter values a user gave, as the file has them."""
    with h5py.File(path) as f:
        return f[name].id.get_create_plist().get_filter(0)[2][:6]


def write(path, data, words, name="u", **options):
    options = {"chunks": data.shape, **options}
    with h5py.File(path, "a") as f:
        f.create_dataset(name, data=data, compression=ID, compression_opts=words, **options)
    return path


def write_plain(path, **datasets):
    with h5py.File(path, "w") as f:
        for name, data in datasets.items():
            f.create_dataset(name, data=data)
    return path


# ---- flags

@pytest.mark.parametrize("given, words", [
    (["--abs", "1e-3"], [1, 1, 3]), (["--abs", "25e-5"], [1, 25, 5]), (["--rel", "0.5"], [2, 5, 1]),
    (["--ratio", "0.01"], [3, 1, 2]), (["--psnr", "60"], [4, 60, 0]), (["--nrmse", "1e-4"], [5, 1, 4]),
    (["--block-nrmse", "3e-3"], [6, 3, 3]), (["--lossless"], [0]), (["--abs", "1e5"], [1, 100000, 0]), (["--abs", "3", "--effort", "9"], [1, 3, 0, 0, 0, 9]),
    (["--abs", "1e-3", "--model", "none"], [1, 1, 3, 2**32 - 1, 2**32 - 1]),
    (["--lossless", "--effort", "1"], [0, 0, 0, 0, 0, 1]),
    (["--abs", "2", "--model", "0123456789abcdef"], [1, 2, 0, 0x01234567, 0x89ABCDEF]),
    (["--abs", "0.333333333333333333"], list(ieee(ABS, 1 / 3))), (["--abs", "1e300"], list(ieee(ABS, 1e300))),
])
def test_flags_words(h5neural, given, words):
    assert json.loads(h5neural("flags", *given, "--json").stdout)["cd_values"] == words
    assert h5neural("flags", *given).stdout == f"UD={ID},0,{len(words)},{','.join(map(str, words))}\n"


@pytest.mark.parametrize("given", [
    [], ["--abs", "0"], ["--abs", "-1"], ["--abs", "nan"], ["--abs", "inf"], ["--abs", "x"], ["--ratio", "1"],
    ["--abs", "1", "--rel", "1"], ["--abs", "1", "--effort", "10"], ["--abs", "1", "--model", "no-such-weights"],
    ["--abs", "1", "--for", "nccopy"], ["--abs", "1", "--for", "netscape"],
])
def test_flags_refuses(h5neural, given):
    done = h5neural("flags", *given, status=2)
    assert done.stderr + done.stdout and "UD=" not in done.stdout


# 1e300 and 1/3 have words above 2^31, which a tool may mangle.
@pytest.mark.parametrize("bound", ["1e-3", "1e300", "0.3333333333333333", "0.00012345678901234"])
def test_flags_are_understood(h5neural, run, tmp_path, bound):
    source, expected = tmp_path / "in.h5", json.loads(h5neural("flags", "--abs", bound, "--json").stdout)["cd_values"]
    a = fields.wave((20, 30))
    with h5py.File(source, "w") as f:
        f.create_dataset("u", data=a, chunks=(10, 30))
    run("h5repack", "-f", h5neural("flags", "--abs", bound).stdout.strip(), source, tmp_path / "h5repack.h5")
    assert list(words_of(tmp_path / "h5repack.h5")[:3]) == expected
    nccopy = h5neural("flags", "--abs", bound, "--for", "nccopy", "--dataset", "u").stdout.strip()
    run("nccopy", "-4", "-F", nccopy, source, tmp_path / "nccopy.h5")
    assert list(words_of(tmp_path / "nccopy.h5")[:3]) == expected
    keywords = eval(f"dict({h5neural('flags', '--abs', bound, '--for', 'h5py').stdout})")
    with h5py.File(tmp_path / "h5py.h5", "w") as f:
        f.create_dataset("u", data=a, chunks=(10, 30), **keywords)
    assert list(words_of(tmp_path / "h5py.h5")[:3]) == expected


def test_flags_for_c_compiles(h5neural, run, tmp_path):
    if not shutil.which("cc") or subprocess.run(["pkg-config", "--exists", "hdf5-serial"]).returncode:
        pytest.skip("no C compiler, or no HDF5 for it")
    line = h5neural("flags", "--rel", "1e-4", "--for", "c").stdout
    (tmp_path / "a.c").write_text(f"#include <hdf5.h>\nint main(void) {{ hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);\n"
                                  f"return {line.strip().rstrip(';')} < 0; }}\n")
    flags = run("pkg-config", "--cflags", "--libs", "hdf5-serial").split()
    run("cc", "-o", tmp_path / "a", tmp_path / "a.c", *flags)
    run(str(tmp_path / "a"))


def test_flags_all(h5neural):
    lines = h5neural("flags", "--abs", "1e-3", "--all", "--dataset", "u").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["h5repack", "nccopy", "h5py", "C"]
    assert f"u:UD={ID},0,3,1,1,3" in lines[0]


# ---- info

def test_info_adds_up(h5neural, tmp_path):
    a = fields.specials((50, 40), "<f4", -9999.0)
    path = write(tmp_path / "a.h5", a, (ABS, 1, 3), chunks=(16, 40), fillvalue=-9999.0)
    write(path, np.full((8, 8), 2.5), (LOSSLESS,), "c")
    with h5py.File(path, "a") as f:
        f.create_dataset("z", data=a, compression="gzip", chunks=(50, 40))
        stored = {name: f[name].id.get_storage_size() for name in f}
    datasets = {d["path"]: d for d in json.loads(h5neural("info", path, "--json").stdout)[0]["datasets"]}
    assert list(datasets) == ["/c", "/u", "/z"]
    u = datasets["/u"]
    assert (u["mode"], u["bound"], len(u["chunks"])) == (ABS, 1e-3, 4)
    assert u["raw_bytes"] == a.nbytes and u["specials"] > 100
    sections = ("header_bytes", "latents_bytes", "corrections_bytes", "specials_bytes")
    for d in (u, datasets["/c"]):
        assert sum(d[s] for s in sections) == d["stored_bytes"] == stored[d["path"][1:]]
        assert all(sum(c[s] for s in sections) == c["stored_bytes"] for c in d["chunks"])
        assert sum(c["raw_bytes"] for c in d["chunks"]) == d["raw_bytes"]
    assert "mode" not in datasets["/z"] and datasets["/z"]["filters"][0]["name"] == "deflate"
    text = h5neural("info", path, "--chunks").stdout
    assert "abs 0.001" in text and "[48, 0]" in text and "deflate" in text


def test_info_of_a_chunk_that_is_not_stored(h5neural, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        d = f.create_dataset("u", (40, 40), "f4", chunks=(10, 40), compression=ID, compression_opts=(ABS, 1, 3))
        d[10:20] = fields.wave((10, 40))
    u = json.loads(h5neural("info", f"{tmp_path / 'a.h5'}:/u", "--json").stdout)[0]["datasets"][0]
    assert [c["offset"] for c in u["chunks"]] == [[10, 0]]
    assert "1 of 4 chunks" in h5neural("info", tmp_path / "a.h5").stdout


def test_info_behind_a_checksum_and_behind_another_filter(h5neural, tmp_path):
    a = fields.wave((30, 40))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        for name, behind in (("sum", "set_fletcher32"), ("packed", "set_deflate")):
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk(a.shape)
            plist.set_filter(ID, h5py.h5z.FLAG_MANDATORY, (ABS, 1, 3))
            getattr(plist, behind)()
            space = h5py.h5s.create_simple(a.shape)
            h5py.h5d.create(f.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plist).write(h5py.h5s.ALL, h5py.h5s.ALL, a)
    done = h5neural("info", tmp_path / "a.h5", "--json", status=1)
    packed, summed = json.loads(done.stdout)[0]["datasets"]
    assert "another filter" in packed["chunks"][0]["problem"]
    assert summed["chunks"][0]["kind"] and summed["header_bytes"] > 0


def damage(path, name="u"):
    """Flips a bit of the first chunk of a dataset."""
    with h5py.File(path) as f:
        info = f[name].id.get_chunk_info(0)
    with open(path, "r+b") as f:
        f.seek(info.byte_offset + info.size // 2)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))


def test_damage_is_named(h5neural, tmp_path):
    a = fields.wave((30, 40))
    path, plain = write(tmp_path / "a.h5", a, (ABS, 1, 3)), write_plain(tmp_path / "plain.h5", u=a)
    damage(path)
    assert "checksum" in h5neural("info", path, status=1).stdout
    assert "checksum" in h5neural("verify", plain, path, status=2).stdout


def test_files_that_are_none(h5neural, tmp_path):
    (tmp_path / "text").write_text("no HDF5")
    plain = write_plain(tmp_path / "plain.h5", u=np.zeros(3))
    for arguments in (["info", tmp_path / "no.h5"], ["info", tmp_path / "text"], ["info", f"{plain}:/no"],
                      ["verify", plain, tmp_path / "no.h5"], ["verify", tmp_path / "text", plain], ["verify", plain], []):
        done = h5neural(*arguments, status=2)
        assert done.stdout + done.stderr


# ---- verify

WORDS = [(ABS, 1, 3), (REL, 1, 3), (RATIO, 1, 3), (PSNR, 60, 0), (NRMSE, 1, 4), (BLOCK_NRMSE, 1, 3), (LOSSLESS,)]


@pytest.mark.parametrize("words", WORDS, ids=str)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_verify_kept(h5neural, tmp_path, words, dtype):
    # Extents that leave edge chunks, whose padding only the writer saw; far from 0, where padding would show.
    smooth, strange = fields.wave((23, 30), dtype) + np.dtype(dtype).type(100), fields.specials((23, 30), dtype, -9999.0)
    plain, packed = tmp_path / "plain.h5", tmp_path / "packed.h5"
    write_plain(plain, u=smooth, s=strange, i=np.arange(9))
    write(packed, smooth, words, chunks=(8, 16))
    write(packed, strange, words, "s", chunks=(8, 16), fillvalue=-9999.0)
    with h5py.File(packed, "a") as f:
        f["i"] = np.arange(9)
    verdicts = {v["path"]: v for v in json.loads(h5neural("verify", plain, packed, "--json").stdout)}
    assert verdicts["/i"]["outcome"] == "identical"
    with h5py.File(packed) as f:
        copy = f["u"][...]
    error = np.abs(copy.astype("f8") - smooth.astype("f8"))
    u, s = verdicts["/u"], verdicts["/s"]
    assert u["max_error"] == error.max() and u["max_over_bound"] <= 1 + 1e-9
    assert s["specials"] == np.sum(~np.isfinite(strange) | (strange == -9999) | ((strange == 0) & np.signbit(strange)))
    assert s["specials_changed"] == 0
    if words[0] == LOSSLESS:
        assert u["outcome"] == s["outcome"] == "identical" and u["psnr"] is None
    else:
        assert u["outcome"] == "kept" and u["changed"] > 0
        rmse = np.sqrt((error**2).mean())
        assert u["psnr"] == pytest.approx(20 * np.log10(np.ptp(smooth.astype("f8")) / rmse))
        assert u["nrmse"] == pytest.approx(rmse / np.ptp(smooth.astype("f8")))
    # The order of the files does not matter.
    assert json.loads(h5neural("verify", packed, plain, "--json").stdout) == list(verdicts.values())


def moved(a, words):
    """`a` with one value moved beyond what `words` allow, whichever bound they are."""
    b = a.copy()
    b[3, 5] += {ABS: 3e-3, REL: 3e-3 * np.ptp(a), RATIO: 3e-3 * abs(a[3, 5]), LOSSLESS: np.spacing(a[3, 5])}.get(
        words[0], np.ptp(a))
    return b


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_verify_broken(h5neural, tmp_path, words):
    a = fields.wave((40, 30), "<f8")
    plain = write_plain(tmp_path / "plain.h5", u=a)
    packed = write(tmp_path / "packed.h5", moved(a, words), words, chunks=(20, 30))
    (verdict,) = json.loads(h5neural("verify", plain, packed, "--json", status=1).stdout)
    assert verdict["outcome"] == "broken" and verdict["broken_chunks"] == 1
    assert verdict["beyond"] == (0 if words[0] in (PSNR, NRMSE, BLOCK_NRMSE) else 1)
    assert "BROKEN" in h5neural("verify", plain, packed, status=1).stdout


@pytest.mark.parametrize("shape, chunks", [((2, 21, 30), (1, 21, 30)), ((500,), (500,)), ((21, 30, 1), (21, 30, 1))])
def test_verify_measures_the_worst_patch(h5neural, tmp_path, shape, chunks):
    a = fields.specials(shape, "<f4", -9999.0)
    plain = write_plain(tmp_path / "plain.h5", u=a)
    packed = write(tmp_path / "packed.h5", a, (BLOCK_NRMSE, 1, 2), chunks=chunks, fillvalue=-9999.0)
    (verdict,) = json.loads(h5neural("verify", plain, packed, "--json").stdout)
    with h5py.File(packed) as f:
        b = f["u"][...].astype("f8")
    ordinary = np.isfinite(a) & (a != -9999.0) & ~((a == 0) & np.signbit(a))
    x = np.where(ordinary, a, 0).astype("f8")
    error = np.where(ordinary, x - np.where(ordinary, b, 0), 0)
    worst = max(fields.worst_patch(e, o) / np.ptp(v[o])
                for v, e, o in zip(*(k.reshape(-1, *chunks) for k in (x, error, ordinary))))
    assert verdict["outcome"] == "kept" and 0 < worst <= 1e-2
    assert verdict["patch_nrmse"] == pytest.approx(worst)
    assert verdict["max_over_bound"] == pytest.approx(worst / 1e-2)


def test_verify_sees_an_error_barely_beyond(h5neural, tmp_path):
    a = np.zeros((16, 16))
    a[0] = np.arange(16)
    b = a.copy()
    b[8, 8] = np.nextafter(1e-3, 1)  # stored exactly: the payload is lossless
    plain = write_plain(tmp_path / "plain.h5", u=a)
    b_file = write_plain(tmp_path / "b.h5", u=b)
    assert "1 values beyond" in h5neural("verify", plain, b_file, "--abs", "1e-3", status=1).stdout
    b[8, 8] = 1e-3
    h5neural("verify", plain, write_plain(tmp_path / "c.h5", u=b), "--abs", "1e-3")


@pytest.mark.parametrize("was, became", [(np.nan, 1.0), (np.inf, -np.inf), (-0.0, 0.0), (-9999.0, -9998.9999),
                                         (np.array(0x7FF8000000000001, "u8").view("f8"), np.nan)])
def test_verify_sees_a_changed_special(h5neural, tmp_path, was, became):
    a = fields.wave((20, 30), "<f8")
    a[2, 3] = was
    b = a.copy()
    b[2, 3] = became
    plain = write_plain(tmp_path / "plain.h5", u=a)
    packed = write(tmp_path / "packed.h5", b, (ABS, 1, 2), fillvalue=-9999.0)
    assert "1 of 1 NaN, Inf, -0 and fill values changed" in h5neural("verify", plain, packed, status=1).stdout


def test_verify_other_differences(h5neural, tmp_path):
    a = fields.wave((20, 30))
    plain = write_plain(tmp_path / "plain.h5", u=a, gone=a, i=np.arange(4), t=a, shape=a)
    other = write_plain(tmp_path / "other.h5", u=a + np.float32(1e-3), i=np.array([0, 1, 2, 4]), t=a.astype("f8"),
                        shape=a[:10])
    text = {line.split()[0]: line for line in h5neural("verify", plain, other, status=1).stdout.splitlines()}
    assert "MISSING" in text["/gone"] and "1 of 4 values" in text["/i"]
    assert "float32 [20, 30] became float64" in text["/t"] and "[10, 30]" in text["/shape"]
    assert "no bound is known" in text["/u"]
    h5neural("verify", f"{plain}:/u", f"{other}:/u", "--abs", "1.001e-3")
    h5neural("verify", f"{plain}:/gone", f"{plain}:/u")


def test_verify_a_real_field_through_h5repack(h5neural, run, tmp_path):
    path = next(p for name, p in fields.stored_fields().items() if name == "sst_fill")
    run("h5repack", "-f", h5neural("flags", "--abs", "1e-2").stdout.strip(), path, tmp_path / "out.h5")
    text = h5neural("verify", path, tmp_path / "out.h5").stdout
    assert "kept" in text and "19759" in text  # the land points


# ---- doctor

def doctor(h5neural, status=0, **environment):
    """Findings by subject, in an environment that has of HDF5 and h5neural only what is given."""
    bare = {k: "" for k in os.environ if k.startswith(("HDF5_", "H5NEURAL_"))}
    env = {k: v for k, v in os.environ.items() if k not in bare}
    done = subprocess.run([TOOL, "doctor", "--json"], env={**env, **environment}, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def broken(findings):
    assert all(f["remedy"] for f in findings if f["grade"] == "broken")
    return [f["subject"] for f in findings if f["grade"] == "broken"]


def test_doctor_when_all_is_well(h5neural):
    findings = doctor(h5neural, HDF5_PLUGIN_PATH=PLUGIN_DIR)
    assert not broken(findings)
    subjects = {f["subject"] for f in findings if f["grade"] == "fine"}
    assert {"HDF5", "search path", "plugin", "filter", "engine", "backend"} <= subjects
    assert "all is well" in h5neural("doctor").stdout


def test_doctor_remedy_works(h5neural, tmp_path):
    """What it says when the plugin is not on the path is what mends it."""
    findings = doctor(h5neural, status=1)
    assert broken(findings) == ["search path", "filter"]
    remedy = next(f["remedy"] for f in findings if f["grade"] == "broken")
    variable, value = re.fullmatch(r"export (\w+)=(.*)", remedy).groups()
    assert not broken(doctor(h5neural, **{variable: value}))
    findings = doctor(h5neural, status=1, HDF5_PLUGIN_PATH=str(tmp_path))
    remedy = next(f["remedy"] for f in findings if f["grade"] == "broken")
    assert remedy == f"export HDF5_PLUGIN_PATH={PLUGIN_DIR}:$HDF5_PLUGIN_PATH"


def test_doctor_with_a_damaged_plugin(h5neural, tmp_path):
    (tmp_path / "libh5zneural.so").write_bytes(b"\x7fELF and nothing more")
    findings = doctor(h5neural, status=1, HDF5_PLUGIN_PATH=str(tmp_path))
    assert "plugin" in broken(findings)
    # Behind a damaged one the good one is still found.
    assert broken(doctor(h5neural, status=1, HDF5_PLUGIN_PATH=f"{tmp_path}:{PLUGIN_DIR}")) == ["plugin"]


def test_doctor_without_the_plugins_engine(h5neural, tmp_path):
    shutil.copy(os.path.join(PLUGIN_DIR, "libh5zneural.so"), tmp_path)
    findings = doctor(h5neural, status=1, HDF5_PLUGIN_PATH=str(tmp_path))
    assert "plugin" in broken(findings)
    assert any("engine is missing" in f["text"] for f in findings)
    findings = doctor(h5neural, status=1, HDF5_PLUGIN_PATH=PLUGIN_DIR, H5NEURAL_ENGINE=str(tmp_path / "none.so"))
    assert any("unset H5NEURAL_ENGINE" in f["remedy"] for f in findings)


def test_doctor_with_plugins_switched_off(h5neural):
    findings = doctor(h5neural, status=1, HDF5_PLUGIN_PATH=PLUGIN_DIR, HDF5_PLUGIN_PRELOAD="::")
    assert any("HDF5_PLUGIN_PRELOAD" in f["remedy"] for f in findings)


def test_doctor_names_refused_weights(h5neural, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\x10" * 40)
    findings = doctor(h5neural, status=1, HDF5_PLUGIN_PATH=PLUGIN_DIR, H5NEURAL_WEIGHTS_PATH=str(tmp_path))
    assert broken(findings) == ["weights"]


# ---- models

def test_axes_of_one_point_are_nothing_to_a_model(h5neural, tmp_path):
    """The shipped model of 32^3 serves the chunks of a series of fields as it does the fields."""
    subprocess.run([sys.executable, os.path.join(ROOT, "h5tests", "fields", "two_puncture.py"), tmp_path / "sim.h5", "--split",
                    "test", "--count", "2", "--variables", "U_CHI"], check=True, timeout=120)
    with h5py.File(tmp_path / "sim.h5") as f:
        series = f["U_CHI"][...]
    for shape in ((2, 32, 32, 32), (64, 32, 32), (2, 32, 1, 32, 32)):
        chunk = (1,) * (len(shape) - 3) + (32, 32, 32) if len(shape) != 5 else (1, 32, 1, 32, 32)
        path = write(tmp_path / f"{len(shape)}.h5", series.reshape(shape), (REL, 1, 2), chunks=chunk)
        write_plain(tmp_path / "plain.h5", u=series.reshape(shape))
        (d,) = json.loads(h5neural("info", path, "--json").stdout)[0]["datasets"]
        assert [c["model_name"] for c in d["chunks"]] == ["swae-chunk32-chi"] * 2
        assert d["latents_bytes"] > 0
        h5neural("verify", tmp_path / "plain.h5", path)
