"""h5neural train --model frames: it learns from series of frames, and what it writes is proved, found and read back. Fields
and times are tiny: these tests ask whether it works, not how well."""
import h5py
import numpy as np
import pytest

from test_cli import h5neural, pytestmark as needs_tool  # noqa: F401 (a fixture and a mark)
from test_train import needs_worker

pytestmark = [needs_tool, needs_worker]

FRAMES, Y, X = 6, 32, 40


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Periodic waves that travel: the frame before, shifted."""
    rng = np.random.default_rng(5)
    t = np.arange(24 * FRAMES)[:, None, None]
    y, x = np.mgrid[0:Y, 0:X] * 2 * np.pi / np.array([Y, X])[:, None, None]
    u = sum(a * np.cos(k * x + l * y + 0.4 * k * t + p) for a, k, l, p in
            zip(rng.normal(size=12), rng.integers(1, 5, 12), rng.integers(-4, 5, 12), rng.uniform(0, 6, 12)))
    path = tmp_path_factory.mktemp("waves") / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=u.astype("f4"), chunks=(FRAMES, Y, X))
        f.create_dataset("maps", data=u[:40].astype("f4"), chunks=(1, Y, X))
    return path


def test_series(h5neural, waves, tmp_path):
    out = tmp_path / "w.safetensors"
    said = h5neural("train", f"{waves}:/u", "--model", "frames", "--rel", "1e-2", "--time", "10s", "-o", out, timeout=400,
                    status=None).stderr
    assert out.exists(), said
    assert "series of 6 frames" in said and "periodic along the first axis, periodic along the second" in said
    card = (tmp_path / "w.md").read_text()
    assert "frames" in card
    shown = h5neural("weights", "show", out).stdout
    assert "proved" in shown and "frames" in shown
    env = {"H5NEURAL_WEIGHTS_PATH": str(out)}
    h5neural("repack", "--rel", "1e-2", "--model", out, "--dataset", "/u", waves, tmp_path / "small.h5")
    assert "kept" in h5neural("verify", waves, tmp_path / "small.h5", env=env).stdout


def test_what_is_refused(h5neural, waves, tmp_path):
    out = tmp_path / "w.safetensors"
    said = h5neural("train", f"{waves}:/maps", "--model", "frames", "--rel", "1e-2", "-o", out, status=None).stderr
    assert "are no series of frames" in said and not out.exists()
