"""Weights that travel: inside of files, read where they were never installed; listed, shown, installed, extracted. And
files whose weights or records are a stranger's."""
import ctypes
import functools
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import pytest

import fields
from fields import REL
from test_cli import BIN, PLUGIN_DIR, ROOT, TOOL, h5neural, pytestmark  # noqa: F401 (a fixture and a mark)

WEIGHTS = os.path.join(ROOT, "weights", "swae-chunk32-chi.safetensors")
HALF = 512  # where the record stands in a user block of 1024 bytes
MAGIC = b"\x89h5neural-w1\r\n\x1a\n"
XXH3 = pytest.importorskip("xxhash").xxh3_64_intdigest


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def renamed(path, name, **changes):
    """A copy of the shipped weights under another name, and so with another SHA-256."""
    with open(WEIGHTS, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header["__metadata__"].update({"name": name, **changes})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data[8 + n:])
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "in.h5"
    subprocess.run([sys.executable, os.path.join(ROOT, "h5tests", "fields", "two_puncture.py"), path, "--split", "test",
                    "--count", "3", "--variables", "U_CHI"], check=True, timeout=120)
    return path


def pack(h5neural, source, out, weights, *more):
    h5neural("repack", "--rel", "1e-2", "--chunk", "1,32,32,32", "--weights", weights, *more, source, out)
    return out


@pytest.fixture
def elsewhere():
    """A machine account that never saw any weights: an install without its share/, another HOME and, where the tests may,
    another user. elsewhere.run(program, ...) and elsewhere.folder, which that account can read."""
    folder = tempfile.mkdtemp(prefix="h5neural-elsewhere-")
    plugin = os.path.join(folder, "install", "lib", "h5neural", "plugin")
    os.makedirs(plugin)
    shutil.copy(os.path.join(PLUGIN_DIR, "libh5zneural.so"), plugin)
    shutil.copy(os.path.join(PLUGIN_DIR, "..", "libh5neural.so"), os.path.dirname(plugin))
    os.chmod(folder, 0o755)
    keep = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_DATA_HOME") and not k.startswith(("H5NEURAL", "HDF5"))}
    env = {**keep, "HOME": os.path.join(folder, "none"), "HDF5_PLUGIN_PATH": plugin}

    class Elsewhere:
        def run(self, program, *arguments, **more):
            user = {"user": 65534} if os.geteuid() == 0 and may_run(program) else {}
            return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, cwd="/", timeout=300,
                                  env={**env, **more}, **user)

        def python(self, source, *arguments, **more):
            done = self.run(sys.executable, "-c", source, *arguments, **more)
            assert done.returncode == 0, done.stderr
            return done.stdout

    Elsewhere.folder = folder
    yield Elsewhere()
    shutil.rmtree(folder)


@functools.cache
def may_run(program):
    """Whether another user can start it at all: an interpreter may stand in a folder that is its owner's alone."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, user=65534, cwd="/").returncode == 0
    except PermissionError:
        return False


READ_H5PY = "import sys, h5py, hashlib\nprint(hashlib.sha256(h5py.File(sys.argv[1])['U_CHI'][...].tobytes()).hexdigest())"
READ_NETCDF = ("import sys, netCDF4, hashlib\nd = netCDF4.Dataset(sys.argv[1]); d.set_auto_mask(False)\n"
               "print(hashlib.sha256(d['U_CHI'][...].tobytes()).hexdigest())")


def test_a_file_with_its_weights_is_read_anywhere(h5neural, elsewhere, series, tmp_path):
    path = pack(h5neural, series, tmp_path / "out.h5", renamed(tmp_path / "w.safetensors", "mine"), "--embed=always")
    with h5py.File(series) as f:
        before = f["U_CHI"][...]
    moved = os.path.join(elsewhere.folder, "moved.h5")
    shutil.move(path, moved)
    os.chmod(moved, 0o644)
    os.remove(tmp_path / "w.safetensors")
    binary = os.path.join(tempfile.gettempdir(), f"h5neural-dump-{os.getpid()}")
    try:
        done = elsewhere.run("h5dump", "-d", "/U_CHI", "-b", "LE", "-o", binary, moved)
        assert done.returncode == 0, done.stderr
        values = np.fromfile(binary, "<f4").reshape(before.shape)
    finally:
        if os.path.exists(binary):
            os.remove(binary)
    fields.check(before, values, REL, 1e-2, (1, 32, 32, 32))
    expected = hashlib.sha256(values.tobytes()).hexdigest()
    assert elsewhere.python(READ_H5PY, moved).strip() == expected
    assert elsewhere.python(READ_NETCDF, moved).strip() == expected
    # What it is that they had to find.
    (d,) = [d for d in json.loads(h5neural("info", moved, "--json").stdout)[0]["datasets"] if d["path"] == "/U_CHI"]
    assert {c["model_name"] for c in d["chunks"]} == {"mine"}


def test_without_them_the_error_says_what_to_do(h5neural, elsewhere, series, tmp_path):
    weights = renamed(tmp_path / "w.safetensors", "mine")
    path = shutil.copy(pack(h5neural, series, tmp_path / "out.h5", weights), elsewhere.folder)
    os.chmod(path, 0o644)
    done = elsewhere.run("h5dump", "--enable-error-stack", "-d", "/U_CHI", path, H5NEURAL_WEIGHTS_PATH="/nowhere/here")
    assert done.returncode != 0
    for said in (digest(weights)[:16], "weights install", "/nowhere/here", "compiled in", "none/.local/share/h5neural/weights",
                 "install/share/h5neural/weights", "open files"):
        assert said in done.stderr, said


def test_two_files_with_different_weights_in_one_process(h5neural, elsewhere, series, tmp_path):
    expected = []
    for name in ("one", "two"):
        path = pack(h5neural, series, os.path.join(elsewhere.folder, f"{name}.h5"),
                    renamed(tmp_path / f"{name}.safetensors", name), "--embed=always")
        os.chmod(path, 0o644)
        expected.append(elsewhere.python(READ_H5PY, path).strip())
    said = elsewhere.python("""
import sys, h5py, netCDF4, hashlib
a, b = (h5py.File(p) for p in sys.argv[1:])
c = netCDF4.Dataset(sys.argv[1]); c.set_auto_mask(False)
for k in range(3):
    for values in (a['U_CHI'][k], b['U_CHI'][k], c['U_CHI'][k]):
        assert values.shape == (32, 32, 32)
for f in (b, a, c):
    print(hashlib.sha256(f['U_CHI'][...].tobytes()).hexdigest())
""", os.path.join(elsewhere.folder, "one.h5"), os.path.join(elsewhere.folder, "two.h5"))
    assert said.split() == [expected[1], expected[0], expected[0]]


def test_what_stood_in_the_user_block_stays(h5neural, series, tmp_path):
    source, out, again = tmp_path / "in.h5", tmp_path / "out.h5", tmp_path / "again.h5"
    with h5py.File(series) as a, h5py.File(source, "w", userblock_size=1024) as b:
        a.copy("U_CHI", b)
    text = bytes(range(256)) * 4
    with open(source, "r+b") as f:
        f.write(text)
    pack(h5neural, source, out, WEIGHTS, "--embed=always")
    with open(out, "rb") as f:
        start = f.read(2048)
    assert start[:1024] == text and start[1024:1040] == MAGIC
    # Written again, weights and text come along, whether or not they are asked for.
    h5neural("repack", "--rel", "1e-2", out, again)
    with open(again, "rb") as f:
        start = f.read(2048)
    assert start[:1024] == text and start[1024:1040] == MAGIC and h5py.File(again).userblock_size == 2048
    (w,) = json.loads(h5neural("weights", "list", again, "--json").stdout)
    assert w["sha256"] == digest(WEIGHTS) and w["found_by_readers"]


def test_weights_that_no_chunk_uses_are_not_put_in(h5neural, tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["U_CHI"] = fields.wave((32, 32, 32))[None] + np.random.default_rng(1).standard_normal((2, 32, 32, 32)).astype("f4")
    done = h5neural("repack", "--rel", "1e-3", "--chunk", "1,32,32,32", "--weights", WEIGHTS, "--embed=always", tmp_path / "in.h5",
                    tmp_path / "out.h5")
    assert "no chunk" in done.stderr and os.path.getsize(tmp_path / "out.h5") < 300000
    # And those that are used no more are dropped when the file is coded anew.
    assert ".h5neural" not in h5py.File(tmp_path / "out.h5")


def test_coded_anew_without_a_model_a_file_drops_its_weights(h5neural, series, tmp_path):
    path = pack(h5neural, series, tmp_path / "out.h5", WEIGHTS, "--embed=always")
    assert ".h5neural" in h5py.File(path)
    h5neural("repack", "--rel", "1e-2", "--model", "none", "--dataset", "U_CHI", path, tmp_path / "none.h5")
    assert ".h5neural" not in h5py.File(tmp_path / "none.h5") and os.path.getsize(tmp_path / "none.h5") < 100000


def test_rewritten_by_h5repack(h5neural, run, elsewhere, series, tmp_path):
    """It moves the weights and keeps the record: readers say so, and both remedies work."""
    weights = renamed(tmp_path / "w.safetensors", "mine")
    path, moved = pack(h5neural, series, tmp_path / "out.h5", weights, "--embed=always"), os.path.join(elsewhere.folder, "re.h5")
    run("h5repack", path, moved)
    with open(path, "rb") as a, open(moved, "rb") as b:
        if a.read(2048) == b.read(2048):
            pytest.skip("this h5repack leaves the weights where they were")
    os.chmod(moved, 0o644)
    done = elsewhere.run("h5dump", "--enable-error-stack", "-d", "/U_CHI", moved)
    assert done.returncode != 0 and f"weights install {moved}" in done.stderr
    done = h5neural("weights", "list", moved)
    assert "rewritten" in done.stdout
    mended = os.path.join(elsewhere.folder, "mended.h5")
    h5neural("repack", "--lossless", moved, mended)  # U_CHI is copied as it is
    os.chmod(mended, 0o644)
    expected = elsewhere.python(READ_H5PY, mended)
    store = os.path.join(elsewhere.folder, "store")
    h5neural("weights", "install", "--to", store, moved)
    os.chmod(store, 0o755)
    assert elsewhere.python(READ_H5PY, moved, H5NEURAL_WEIGHTS_PATH=store) == expected


# ---- do they pay for themselves?

EDGE = 16


def pattern(seed):
    """A field that only weights made for it can predict."""
    return np.random.default_rng(seed).integers(-8000, 8001, (EDGE,) * 3, "i4")


def made_for(path, seed):
    """Weights of about 20 KiB that know one pattern: a mean field, and a mode that says nothing."""
    points = EDGE**3
    mode = np.zeros((points, 1), "i1")
    mode[0] = 1
    arrays = {"mean": pattern(seed).ravel(), "fine": mode, "zero": np.zeros(1, "<i4"), "one": np.ones((1, 1), "i1"),
              "sigma": np.ones(1, "<i4")}

    def linear(source, weight, bias):
        return {"op": "linear", "in": [source], "weight": weight, "bias": bias}

    def value(limit):
        return {"shape": [1], "min": -limit, "max": limit}

    def clamp(source, limit):
        return {"op": "clamp", "in": [source], "min": -limit, "max": limit}

    programs = {
        "coefficients": {"inputs": [value(100), value(100)], "outputs": [4],
                         "ops": [linear(0, "one", "zero"), {"op": "add", "in": [2, 1]}, clamp(3, 200)]},
        "field": {"inputs": [value(200)], "outputs": [1], "ops": [linear(0, "fine", "mean")]},
        "encode": {"inputs": [value(8191)], "outputs": [2], "ops": [linear(0, "one", "zero"), clamp(1, 100)]}}
    config = {"form": "chunk", "extents": [EDGE] * 3, "units": [0, 0], "scales": [0, 0]}
    header = {"__metadata__": {"format": "h5neural-weights-1", "name": f"pattern-{seed}", "family": "swae",
                               "config": json.dumps(config), **{f"program.{k}": json.dumps(v) for k, v in programs.items()}}}
    data = b""
    for name, a in arrays.items():
        header[name] = {"dtype": {1: "I8", 4: "I32"}[a.itemsize], "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    return path


def chunks_of(*seeds, dtype="f4"):
    """One chunk for each seed: its pattern, each time in another unit."""
    return np.concatenate([pattern(s) * (1 + 0.1 * k) + k for k, s in enumerate(seeds)]).astype(dtype)


def models_of(h5neural, path, name="/u"):
    """The names of the models of the chunks, in order."""
    (d,) = [d for d in json.loads(h5neural("info", path, "--json").stdout)[0]["datasets"] if d["path"] == name]
    return [c["model_name"] for c in d["chunks"]]


def embed(h5neural, source, out, *more, weights=()):
    given = [a for w in weights for a in ("--weights", w)]
    return json.loads(h5neural("repack", "--rel", "1e-2", "--chunk", f"{EDGE},{EDGE},{EDGE}", *given, *more, "--json", source,
                               out).stdout)


def payloads(path, name="u"):
    with h5py.File(path) as f:
        d = f[name].id
        return [d.read_direct_chunk(d.get_chunk_info(i).chunk_offset)[1] for i in range(d.get_num_chunks())]


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
def test_weights_that_save_less_than_their_size_stay_out(h5neural, elsewhere, tmp_path, dtype):
    weights, source, values = made_for(tmp_path / "w.safetensors", 1), tmp_path / "in.h5", chunks_of(1, 1, dtype=dtype)
    with h5py.File(source, "w") as f:
        f.create_dataset("u", data=values[:-3], maxshape=(None, EDGE, EDGE), chunks=(EDGE,) * 3)  # ends inside of a chunk
    always = embed(h5neural, source, tmp_path / "always.h5", "--embed=always", weights=[weights])
    assert [w["sha256"] for w in always["weights"]] == [digest(weights)] and always["weights_left_out"] == []
    assert "pattern-1" in models_of(h5neural, tmp_path / "always.h5")
    said = embed(h5neural, source, tmp_path / "auto.h5", "--embed", weights=[weights])
    none = embed(h5neural, source, tmp_path / "none.h5", "--model", "none")
    (left,) = said["weights_left_out"]
    assert said["weights"] == [] and left["hash"] == digest(weights)[:16] and left["bytes"] == os.path.getsize(weights)
    (note,) = said["notes"]
    assert "--embed=always" in note and "pattern-1" in note and str(left["saved_bytes"]) in note
    # What they save is what the chunks grow by without them.
    sizes = {name: sum(map(len, payloads(tmp_path / f"{name}.h5"))) for name in ("always", "auto", "none")}
    assert sizes["auto"] - sizes["always"] == left["saved_bytes"] > 0 and left["saved_bytes"] <= left["bytes"]
    assert left["chunks"] == sum(m == "pattern-1" for m in models_of(h5neural, tmp_path / "always.h5"))
    # The file is the one that --model none makes, in its filter values too, and needs no weights.
    assert payloads(tmp_path / "auto.h5") == payloads(tmp_path / "none.h5") and sizes["auto"] == sizes["none"]
    words = [h5py.File(tmp_path / f"{n}.h5")["u"].id.get_create_plist().get_filter(0)[2] for n in ("auto", "none")]
    assert words[0] == words[1] and ".h5neural" not in h5py.File(tmp_path / "auto.h5")
    assert os.path.getsize(tmp_path / "auto.h5") < os.path.getsize(tmp_path / "always.h5") - left["bytes"] + left["saved_bytes"] + 4096
    path = shutil.copy(tmp_path / "auto.h5", elsewhere.folder)
    os.chmod(path, 0o644)
    elsewhere.python("import sys, h5py; h5py.File(sys.argv[1])['u'][...]", path)
    with h5py.File(path) as f:
        assert f["u"].shape == (2 * EDGE - 3, EDGE, EDGE) and f["u"].dtype == dtype
        fields.check(values[:-3], f["u"][...], REL, 1e-2, (EDGE,) * 3)
    assert sorted(os.listdir(tmp_path)) == ["always.h5", "auto.h5", "in.h5", "none.h5", "w.safetensors"]


def test_weights_that_pay_for_themselves_are_put_in(h5neural, tmp_path):
    weights, source = made_for(tmp_path / "w.safetensors", 1), tmp_path / "in.h5"
    with h5py.File(source, "w") as f:
        f["u"], f["v"] = chunks_of(*[1] * 10), chunks_of(*[1] * 10)  # neither would pay them alone
    said = embed(h5neural, source, tmp_path / "out.h5", "--embed", weights=[weights])
    assert [w["sha256"] for w in said["weights"]] == [digest(weights)] and said["weights_left_out"] == []
    embed(h5neural, source, tmp_path / "none.h5", "--model", "none")
    assert os.path.getsize(tmp_path / "out.h5") < os.path.getsize(tmp_path / "none.h5")
    assert models_of(h5neural, tmp_path / "out.h5") == ["pattern-1"] * 10


def test_of_two_weights_each_is_asked_for_itself(h5neural, tmp_path):
    good, poor = made_for(tmp_path / "good.safetensors", 1), made_for(tmp_path / "poor.safetensors", 2)
    source, seeds = tmp_path / "in.h5", [1] * 5 + [2] + [1] * 10
    with h5py.File(source, "w") as f:
        f["u"] = chunks_of(*seeds)
    embed(h5neural, source, tmp_path / "always.h5", "--embed=always", weights=[good, poor])
    assert models_of(h5neural, tmp_path / "always.h5") == [f"pattern-{s}" for s in seeds]
    said = embed(h5neural, source, tmp_path / "out.h5", "--embed", weights=[good, poor])
    assert [w["sha256"] for w in said["weights"]] == [digest(good)]
    assert [w["hash"] for w in said["weights_left_out"]] == [digest(poor)[:16]]
    models = models_of(h5neural, tmp_path / "out.h5")
    assert [m for m in models if m] == ["pattern-1"] * 15 and not models[5]
    before, after = payloads(tmp_path / "always.h5"), payloads(tmp_path / "out.h5")
    assert before[:5] + before[6:] == after[:5] + after[6:] and len(after[5]) > len(before[5])


def test_weights_that_a_copied_dataset_needs_stay(h5neural, tmp_path):
    weights, source, coded = made_for(tmp_path / "w.safetensors", 1), tmp_path / "in.h5", tmp_path / "coded.h5"
    with h5py.File(source, "w") as f:
        f["u"], f["v"] = chunks_of(1, 1), chunks_of(1)
    embed(h5neural, source, coded, "--embed=always", "--dataset", "u", weights=[weights])
    said = embed(h5neural, coded, tmp_path / "out.h5", "--embed", "--dataset", "v", weights=[weights])
    assert [w["sha256"] for w in said["weights"]] == [digest(weights)] and said["weights_left_out"] == []
    assert models_of(h5neural, tmp_path / "out.h5", "/v") == ["pattern-1"]
    # Coded again, all of it, they are asked for like others.
    said = embed(h5neural, coded, tmp_path / "again.h5", "--embed", "--dataset", "u,v", weights=[weights])
    assert said["weights"] == [] and len(said["weights_left_out"]) == 1 and ".h5neural" not in h5py.File(tmp_path / "again.h5")


# ---- the subcommands

def test_list_and_show(h5neural, tmp_path):
    mine = renamed(tmp_path / "w.safetensors", "mine")
    found = {w["name"]: w for w in json.loads(h5neural("weights", "list", "--json", env={"H5NEURAL_WEIGHTS_PATH": str(mine)}).stdout)}
    assert found["mine"]["sha256"] == digest(mine) and found["mine"]["source"] == str(mine)
    assert {"swae-chunk32-chi", "swae-block5-chi"} <= found.keys() and found["mine"]["bytes"] == os.path.getsize(mine)
    text = h5neural("weights", "list").stdout
    assert digest(WEIGHTS)[:16] in text and "swae-chunk32-chi" in text
    for what in (str(mine), WEIGHTS, "swae-chunk32-chi", digest(WEIGHTS)[:16], digest(WEIGHTS)):
        (shown,) = json.loads(h5neural("weights", "show", what, "--json").stdout)
        assert shown["sha256"] == digest(mine if what == str(mine) else WEIGHTS) and "problem" not in shown
        assert shown["config"]["extents"] == [32, 32, 32] and shown["operations"]["field"] > 0
    assert "[32,32,32]" in h5neural("weights", "show", WEIGHTS).stdout
    assert "weights list" in h5neural("weights", "show", "no-such", status=2).stderr


def test_install_and_extract(h5neural, elsewhere, series, tmp_path):
    mine = renamed(tmp_path / "w.safetensors", "my own/../weights")
    (tmp_path / "w.md").write_text("the card")
    home = tmp_path / "home"
    path = pack(h5neural, series, tmp_path / "out.h5", mine)
    assert "weights install" in h5neural("repack", "--lossless", "--dataset", "U_CHI", path, tmp_path / "x.h5", status=2).stderr
    installed = h5neural("weights", "install", mine, env={"XDG_DATA_HOME": str(home)}).stdout.strip()
    assert installed == str(home / "h5neural" / "weights" / f"my_own____weights-{digest(mine)[:16]}.safetensors")
    assert digest(installed) == digest(mine) and (home / "h5neural" / "weights" / os.path.basename(installed)).exists()
    assert open(installed.replace(".safetensors", ".md")).read() == "the card"
    h5neural("repack", "--lossless", "--dataset", "U_CHI", path, tmp_path / "x.h5", env={"XDG_DATA_HOME": str(home)})
    carrying = pack(h5neural, series, tmp_path / "with.h5", mine, "--embed=always")
    extracted = h5neural("weights", "extract", carrying, "-o", tmp_path / "some" / "where").stdout.strip()
    assert digest(extracted) == digest(mine) and extracted.startswith(str(tmp_path / "some" / "where"))
    assert "no weights" in h5neural("weights", "extract", path, status=2).stderr
    # Files that are none.
    (tmp_path / "bad.safetensors").write_bytes(b"\x10" * 40)
    for command in (["install", "--to", tmp_path / "to"], ["show"]):
        done = h5neural("weights", *command, tmp_path / "bad.safetensors", status=2 if command[0] == "install" else 1)
        assert "refused" in done.stderr + done.stdout
    assert not os.listdir(tmp_path / "to")
    assert "cannot be read" in h5neural("weights", "install", tmp_path / "none", status=2).stderr


# ---- a stranger's files

def record(entries, version=1, count=None, checksum=None):
    body = MAGIC + struct.pack("<II", version, len(entries) if count is None else count)
    for sha256, offset, length in entries:
        body += bytes.fromhex(sha256) + struct.pack("<QQ", offset, length)
    return body + struct.pack("<Q", XXH3(body) if checksum is None else checksum)


def with_record(path, bytes_):
    with open(path, "r+b") as f:
        f.seek(HALF)
        f.write(bytes_.ljust(HALF, b"\0")[:HALF])


@pytest.fixture
def carrying(h5neural, elsewhere, series, tmp_path):
    """A file with weights of its own, its record's one entry, and what a stranger's reader says of it."""
    path = pack(h5neural, series, os.path.join(elsewhere.folder, "file.h5"), renamed(tmp_path / "w.safetensors", "mine"), "--embed=always")
    os.chmod(path, 0o644)
    with open(path, "rb") as f:
        f.seek(HALF)
        found = f.read(HALF)
    sha256, (offset, length) = found[24:56].hex(), struct.unpack("<QQ", found[56:72])
    assert record([(sha256, offset, length)]) == found[:80]

    def read():
        """None when it reads, else the error; never a crash, never much memory or time."""
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n{READ_H5PY}"
        done = elsewhere.run(sys.executable, "-c", limited, path)
        assert done.returncode in (0, 1), done.stderr
        return None if done.returncode == 0 else done.stderr

    assert read() is None
    return path, (sha256, offset, length), read


@pytest.mark.parametrize("what", ["magic", "version", "count_0", "count_65", "count_huge", "checksum", "cut", "offset", "offset_max",
                                  "offset_past", "length", "length_max", "length_past", "wraps", "other_hash", "zeros", "no_superblock"])
def test_hostile_records(carrying, what):
    path, (sha256, offset, length), read = carrying
    size = os.path.getsize(path)
    entry = {
        "offset": (sha256, offset + 1, length), "offset_max": (sha256, 2**64 - 1, length), "offset_past": (sha256, size, length),
        "length": (sha256, offset, length - 1), "length_max": (sha256, offset, 2**64 - 1),
        "length_past": (sha256, offset, size - offset + 1), "wraps": (sha256, 2**64 - 8, 16),
        "other_hash": ("00" * 32, offset, length), "zeros": (sha256, 0, 0),
    }.get(what, (sha256, offset, length))
    with_record(path, {
        "magic": b"\x89h5neural-w2" + record([entry])[12:], "version": record([entry], version=2),
        "count_0": record([], count=0), "count_65": record([entry], count=65), "count_huge": record([entry], count=2**32 - 1),
        "checksum": record([entry], checksum=0), "cut": record([entry])[:-9],
    }.get(what, record([entry])))
    if what == "no_superblock":  # a record in a file of another kind is none
        with open(path, "r+b") as f:
            f.seek(1024)
            f.write(b"\0" * 8)
        return
    assert "needs the weights" in read()


def test_hostile_weights(h5neural, carrying):
    """Bytes that are not what their hash says, and bytes that are, and are no weights."""
    path, (sha256, offset, length), read = carrying
    with open(path, "r+b") as f:
        f.seek(offset + length // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    error = read()
    assert "rewritten or damaged" in error and sha256[:16] in error
    assert "SHA-256" in h5neural("weights", "extract", path, status=2).stderr
    assert "SHA-256" in h5neural("repack", "--lossless", path, path + ".out", status=2).stderr
    # A chunk that names what is no weights file: its hash is right, its content is refused with a reason.
    rubbish = b"\xff" * 4096
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(rubbish)
    with_record(path, record([(hashlib.sha256(rubbish).hexdigest(), offset, len(rubbish))]))
    with h5py.File(path, "r+") as f:
        payload = bytearray(f["U_CHI"].id.read_direct_chunk((0, 0, 0, 0))[1])
        at = payload.index(bytes.fromhex(sha256)[:8][::-1])
        payload[at:at + 8] = hashlib.sha256(rubbish).digest()[:8][::-1]
        payload[3:7] = struct.pack("<I", XXH3(bytes(payload[:3] + payload[7:])) & 0xFFFFFFFF)
        f["U_CHI"].id.write_direct_chunk((0, 0, 0, 0), bytes(payload))
    assert "refused" in read()


def test_a_hostile_record_costs_its_reading_once(h5neural, tmp_path):
    """256 MiB of zeros that claim to be the weights of every chunk: hashed once, not at each of many reads."""
    path = tmp_path / "big.h5"
    size = 256 << 20
    with h5py.File(path, "w", userblock_size=1024) as f:
        f["x"] = np.zeros(3)
    with open(path, "r+b") as f:
        f.truncate(size + 4096)
    with_record(path, record([("ab" * 32, 4096, size)]))
    engine = ctypes.CDLL(os.path.join(PLUGIN_DIR, "..", "libh5neural.so"))
    import time
    with open(path, "rb"):
        before = time.time()
        engine.h5n_weights_get(0, ctypes.create_string_buffer(4096))
        once = time.time() - before
        before = time.time()
        for _ in range(20):
            engine.h5n_weights_get(0, ctypes.create_string_buffer(4096))
        assert time.time() - before < max(once, 0.2)


def test_the_file_position_of_others_stays(h5neural, series, tmp_path):
    """The search looks into every open file of the process, and must leave no trace there."""
    path = pack(h5neural, series, tmp_path / "out.h5", WEIGHTS, "--embed=always")
    engine = ctypes.CDLL(os.path.join(PLUGIN_DIR, "..", "libh5neural.so"))
    import fcntl
    reader, writer = os.pipe()
    with open(path, "rb") as f, open(tmp_path / "lock", "w") as lock:
        f.seek(77)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        engine.h5n_weights_get(0, ctypes.create_string_buffer(4096))
        assert os.lseek(f.fileno(), 0, os.SEEK_CUR) >= 77 and f.tell() == 77
        # Another process still finds the lock taken: none of ours was dropped by closing a copy.
        taken = subprocess.run([sys.executable, "-c", "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)",
                                lock.name], capture_output=True)
        assert taken.returncode != 0
    os.close(reader)
    os.close(writer)
