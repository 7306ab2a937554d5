"""Weights that refine the corrections of a walk: the command line, the Python package and other programs with files whose
chunks name them."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import fields
from fields import ABS, ID
from test_cli import PLUGIN_DIR, ROOT, h5neural, pytestmark  # noqa: F401 (a fixture and a mark)
from test_weights import digest, elsewhere  # noqa: F401 (a fixture)

NETWORK = os.path.join(ROOT, "h5tests", "fuzz", "seeds", "weights", "corrections.safetensors")
BOUND = 0.01
FOUND = {"H5NEURAL_WEIGHTS_PATH": NETWORK}


def larger_neighbours(shape):
    """Along the last axis every second value is the larger one of the two beside it: what the network knows."""
    rng, n = np.random.default_rng(5), shape[-1]
    even = np.cumsum(rng.normal(0, 1, (*shape[:-1], n // 2 + 1)), axis=-1)
    a = np.empty(shape)
    a[..., ::2] = even[..., :(n + 1) // 2]
    a[..., 1::2] = np.maximum(even[..., :n // 2], even[..., 1:])
    return (a + rng.normal(0, 0.002, shape)).astype("f4")


@pytest.fixture
def source(tmp_path):
    """Four chunks that the network knows, and one of noise."""
    with h5py.File(tmp_path / "in.h5", "w") as f:
        a = larger_neighbours((5, 12000))
        a[4] = np.random.default_rng(1).normal(0, 1, 12000)
        f["u"] = a
    return tmp_path / "in.h5"


@pytest.fixture
def packed(h5neural, source, tmp_path):
    path = tmp_path / "packed.h5"
    h5neural("repack", "--abs", BOUND, "--chunk", "1,12000", "--model", NETWORK, source, path)
    return path


def chunks_of(h5neural, path, **options):
    return json.loads(h5neural("info", f"{path}:/u", "--json", **options).stdout)[0]["datasets"][0]["chunks"]


def test_repack_and_info(h5neural, source, packed, tmp_path):
    """The bound holds; chunks that the network knows name it and are smaller; the others do not name it."""
    chunks = chunks_of(h5neural, packed, env=FOUND)
    assert [c["model_name"] for c in chunks] == 4 * ["seed-corrections"] + [""]
    assert all(c["kind"] == "walk" and c["latents_bytes"] == 0 for c in chunks[:4])
    with h5py.File(source) as a, h5py.File(packed) as b:
        os.environ.update(FOUND)
        try:
            fields.check(a["u"][...], b["u"][...], ABS, BOUND)
        finally:
            del os.environ["H5NEURAL_WEIGHTS_PATH"]
    h5neural("repack", "--abs", BOUND, "--chunk", "1,12000", "--model", "none", source, tmp_path / "none.h5")
    without = chunks_of(h5neural, tmp_path / "none.h5")
    assert all(c["stored_bytes"] < 0.97 * d["stored_bytes"] for c, d in zip(chunks[:4], without))
    assert chunks[4]["stored_bytes"] == without[4]["stored_bytes"]
    (models,) = [line for line in h5neural("info", packed, env=FOUND).stdout.splitlines() if line.split()[:1] == ["models"]]
    assert "seed-corrections" in models and "in 4" in models


def test_by_name_and_by_family(h5neural, source, packed, tmp_path):
    for name in ("seed-corrections", "corrections", digest(NETWORK)[:16]):
        h5neural("repack", "--abs", BOUND, "--chunk", "1,12000", "--model", name, source, tmp_path / "again.h5", env=FOUND)
        with h5py.File(packed) as a, h5py.File(tmp_path / "again.h5") as b:
            for k in range(5):
                assert a["u"].id.read_direct_chunk((k, 0)) == b["u"].id.read_direct_chunk((k, 0))


def test_listed(h5neural):
    (w,) = [w for w in json.loads(h5neural("weights", "list", "--json", env=FOUND).stdout) if w["sha256"] == digest(NETWORK)]
    assert w["family"] == "corrections" and w["name"] == "seed-corrections" and not w.get("problem")
    assert "corrections" in h5neural("weights", "show", NETWORK).stdout


def test_preview(h5neural, source, packed, tmp_path):
    said = h5neural("preview", f"{packed}:/u", tmp_path / "out.h5", env=FOUND).stdout
    assert "coarse levels in" in said and "no base" in said
    with h5py.File(tmp_path / "out.h5") as f, h5py.File(source) as a:
        assert (f["shown"][:4] == 2).all()
        assert np.abs(f["u"][:4] - a["u"][:4]).mean() < 0.2 * a["u"][:4].std()


def test_there_are_no_latents(h5neural, packed, tmp_path):
    done = h5neural("export-latents", f"{packed}:/u", tmp_path / "latents.h5", status=2, env=FOUND)
    assert "no chunk has latents" in done.stderr and "seed-corrections" in done.stderr and "--model" in done.stderr
    assert not os.path.exists(tmp_path / "latents.h5")
    # Without the weights nothing can be told.
    assert "needs the weights" in h5neural("export-latents", f"{packed}:/u", tmp_path / "x.h5", status=2).stderr


READ = "import sys, h5py, hashlib\nprint(hashlib.sha256(h5py.File(sys.argv[1])['u'][...].tobytes()).hexdigest())"


def test_embedded_it_is_read_anywhere(h5neural, elsewhere, source, packed, tmp_path):
    """The file carries its weights; as it stands without them the error says which."""
    path = os.path.join(elsewhere.folder, "embedded.h5")
    h5neural("repack", "--abs", BOUND, "--chunk", "1,12000", "--model", NETWORK, "--embed=always", source, path)
    shutil.copy(packed, plain := os.path.join(elsewhere.folder, "plain.h5"))
    for p in (path, plain):
        os.chmod(p, 0o644)
    with h5py.File(path) as f:
        assert list(f[".h5neural"]) == [digest(NETWORK)]
    expected = subprocess.run([sys.executable, "-c", READ, packed], env={**os.environ, **FOUND}, capture_output=True, text=True)
    assert elsewhere.python(READ, path) == expected.stdout
    done = elsewhere.run(sys.executable, "-c", READ, plain)
    assert done.returncode != 0 and digest(NETWORK)[:16] in done.stderr
    assert elsewhere.run("h5dump", "-d", "/u", path).returncode == 0


def test_python_package(packed, tmp_path):
    """model= takes the file, and the name where the weights are found."""
    source = """
import sys; sys.path.insert(0, sys.argv[1])
import h5neural, h5py
a = h5py.File(sys.argv[2])["u"][:2]
with h5py.File(sys.argv[3], "w") as f:
    for name in sys.argv[4:]:
        f.create_dataset(name.rpartition("/")[2], data=a, chunks=(1, 12000), compression=h5neural.Neural(abs=0.01, model=name))
    print(*(f[n].id.read_direct_chunk((0, 0))[1].hex() for n in f))
"""
    done = subprocess.run([sys.executable, "-c", source, os.path.join(ROOT, "tools", "python"), tmp_path / "in.h5",
                           tmp_path / "out.h5", NETWORK, "seed-corrections"],
                          env={**os.environ, **FOUND}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    with h5py.File(packed) as f:
        assert first == second == f["u"].id.read_direct_chunk((0, 0))[1].hex()


def values_under(backend, path):
    done = subprocess.run([sys.executable, "-c", READ, path], env={**os.environ, **FOUND, "H5NEURAL_BACKEND": backend},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", ["scalar", "avx2", "avx512", "avx512vnni"])
def test_backends_change_no_byte(packed, backend):
    assert values_under(backend, packed) == values_under("", packed)


def test_a_second_bound_keeps_the_model(h5neural, packed, tmp_path):
    """What is copied as it is goes on naming its weights."""
    h5neural("repack", "--lossless", packed, tmp_path / "copied.h5", env=FOUND)
    assert [c["model_name"] for c in chunks_of(h5neural, tmp_path / "copied.h5", env=FOUND)[:4]] == 4 * ["seed-corrections"]
