"""h5neural train --model swae --form block: every network, loss, normalisation and precision makes weights that are found,
proved and read back. Fields and times are tiny: these tests ask whether it works, not how well."""
import h5py
import numpy as np
import pytest

from test_cli import h5neural, pytestmark as needs_tool  # noqa: F401 (a fixture and a mark)
from test_train import needs_worker, punctures

pytestmark = [needs_tool, needs_worker]

CASES = {
    "mlp": ["--net", "mlp", "--width", "0.2"],
    "conv": ["--net", "conv", "--width", "0.1", "--precision", "int16", "--loss", "mse", "--normalise", "minmax"],
    "conv-bn": ["--net", "conv-bn", "--width", "0.1", "--precision", "fp8", "--loss", "robust", "--normalise", "pos_log"],
    "search": ["--search", "2,4", "--width", "0.2", "--loss", "log", "--normalise", "zscore", "--wasserstein", "0.01"],
    "relative": ["--width", "0.2", "--loss", "relative"],
}


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    return punctures(tmp_path_factory.mktemp("cubes") / "sim.h5", 40, n=12, variables=("U_CHI", "U_ALPHA"))


def train(h5neural, *arguments, **options):
    return h5neural("train", *arguments, "--model", "swae", "--form", "block", "--rel", "1e-2", "--time", "5s",
                    timeout=200, **options)


def check(h5neural, weights, data, chunk, tmp_path):
    """Chunks of data, written with the weights, keep their bound; says how many use them."""
    with h5py.File(tmp_path / "plain.h5", "w") as f:
        f.create_dataset("u", data=data, chunks=chunk)
    small = tmp_path / "small.h5"
    h5neural("repack", "--rel", "3e-2", "--model", weights, tmp_path / "plain.h5", small)
    env = {"H5NEURAL_WEIGHTS_PATH": str(weights)}
    assert "kept" in h5neural("verify", tmp_path / "plain.h5", small, env=env).stdout
    shown = h5neural("weights", "show", weights).stdout
    assert "proved" in shown and "swae" in shown


@pytest.mark.parametrize("name", CASES)
def test_blocks(h5neural, cubes, tmp_path, name):
    out = tmp_path / "w.safetensors"
    said = train(h5neural, f"{cubes}:/U_CHI", f"{cubes}:/U_ALPHA", "--block", "4,5,6", "--latents", 4, "-o", out,
                 *CASES[name], status=None).stderr
    assert out.exists(), said
    if name == "search":
        assert "| 2 |" in said and "| 4 |" in said
    with h5py.File(cubes) as f:
        check(h5neural, out, f["U_ALPHA"][:6], (1, 12, 12, 12), tmp_path)


def test_maps(h5neural, tmp_path):
    """Blocks of two axes."""
    y, x = np.mgrid[0:24, 0:32] / 10
    a, b = np.random.default_rng(3).normal(1, 0.3, (2, 80, 1, 1))
    maps = (a * np.sin(3 * y) * np.cos(2 * x) + b * np.cos(x * y)).astype("f4")
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("u", data=maps, chunks=(1, 24, 32))
    out = tmp_path / "w.safetensors"
    said = train(h5neural, f"{tmp_path}/in.h5:/u", "--block", "7,8", "--net", "conv", "--width", "0.1", "-o", out,
                 status=None).stderr
    assert out.exists(), said
    check(h5neural, out, maps[:8], (1, 24, 32), tmp_path)


def test_what_is_refused(h5neural, cubes, tmp_path):
    out = tmp_path / "w.safetensors"
    linear = h5neural("train", f"{cubes}:/U_CHI", "--model", "linear", "--net", "conv", "--rel", "1e-2", "-o", out,
                      status=2)
    assert "--net is of --model swae --form block" in linear.stderr
    for arguments, reason in ((["--net", "resnet"], "--net cannot be 'resnet'; it is one of mlp, conv, conv-bn"),
                              (["--search", "0,4"], "numbers from 1 to 64"),
                              (["--block", "99,99,99"], "at most 32768 points")):
        said = train(h5neural, f"{cubes}:/U_CHI", "-o", out, *arguments, status=None).stderr
        assert reason in said and not out.exists()
        for left in tmp_path.glob("*.unfinished/*"):
            left.unlink()
        for left in tmp_path.glob("*.unfinished"):
            left.rmdir()
