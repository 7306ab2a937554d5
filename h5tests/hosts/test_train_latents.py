"""h5neural train --model vae, contextual, dcae, diffusion: they learn from series of frames, and what they write is proved,
found and read back. Fields and times are tiny: these tests ask whether it works, not how well."""
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from test_cli import ROOT, WORKER, h5neural, pytestmark as needs_tool  # noqa: F401 (a fixture and a mark)
from test_train import needs_worker
from test_train_frames import waves  # noqa: F401 (a fixture)

pytestmark = [needs_tool, needs_worker]


@pytest.mark.parametrize("family", ("vae", "contextual", "dcae", "diffusion"))
def test_series(h5neural, waves, tmp_path, family):  # noqa: F811
    out = tmp_path / "w.safetensors"
    said = h5neural("train", f"{waves}:/u", "--model", family, "--rel", "1e-1", "--time", "12s", "-o", out, timeout=600,
                    status=None).stderr
    assert out.exists(), said
    assert "series of 6 frames" in said
    shown = h5neural("weights", "show", out).stdout
    assert "proved" in shown and family in shown
    env = {"H5NEURAL_WEIGHTS_PATH": str(out)}
    h5neural("repack", "--rel", "1e-1", "--model", out, "--dataset", "/u", waves, tmp_path / "small.h5")
    assert "kept" in h5neural("verify", waves, tmp_path / "small.h5", env=env).stdout


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Eight series of 17 frames as the worker takes them."""
    sys.path.insert(0, os.path.join(ROOT, "h5tests", "fields"))
    from two_puncture import write_safetensors
    y, x = np.mgrid[0:32, 0:32] / 5
    t = np.arange(17)[:, None, None] / 8
    u = np.stack([np.sin(x + t + k) * np.cos(y - t * k / 4) for k in range(8)]).astype("<f4")
    path = tmp_path_factory.mktemp("samples") / "in.samples"
    write_safetensors(path, {"x": u})
    return path


@pytest.mark.parametrize("options", (
    "vae --window 4", "vae --window 8 --stages 2 --hyper 2", "dcae --stages 4 --memory 1", "dcae --hyper 4",
    "contextual --motion 8 --stages 1 --window 2", "diffusion --steps 3 --noise ancestral", "diffusion --every 4 --steps 2"))
def test_shapes(samples, tmp_path, options):
    """Every shape's programs are proved: the worker reads the file as an engine does before it keeps it."""
    family, *more = options.split()
    out = tmp_path / "w.safetensors"
    done = subprocess.run([WORKER, "train", "--model", family, "--data", samples, "--variable", "x", "--out", out, "--seconds",
                           "2", "--channels", "6", "--width", "0.2", *more], capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr
    card = out.with_suffix(".md").read_text()
    assert f"Family {family}," in card and "Multiply-accumulates for each value" in card
    # Hardly trained as they are, integers say what the network says. Single bins are noisy: few bits decide.
    lost = [float(v) for v in re.findall(r"\| (-?[\d.e+-]+) % more", card)]
    assert len(lost) == 7 and abs(sum(lost) / 7) < 3


def estimated(card):
    """Bits for each value, in all, of each bin."""
    rows = [line.split("|") for line in card.splitlines() if line.endswith("% more |")]
    assert len(rows) == 7
    return [float(r[5]) for r in rows]


def trained(samples, out, *options):
    """The card of weights that the worker has learned, and proved, since it reads the file before it keeps it."""
    done = subprocess.run([WORKER, "train", "--data", samples, "--variable", "x", "--out", out,
                           "--channels", "6", "--width", "0.2", "--stages", "2", *options], capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr
    return out.with_suffix(".md").read_text()


@pytest.mark.parametrize("family", ("vae --window 4", "contextual --motion 8 --window 4"))
def test_adversarial(samples, tmp_path, family):
    """A loss that looks at frames alone, and counts a thousand times as much as bits do, leaves its mark on these."""
    model = ["--model", *family.split(), "--seconds", "16"]  # a step of contextual takes one on a busy machine
    plain = trained(samples, tmp_path / "plain.safetensors", *model)
    card = trained(samples, tmp_path / "w.safetensors", *model, "--adversarial", "1000")
    assert "adversarial loss" not in plain
    assert "an adversarial loss of weight 1000" in card and "| adversarial |" in card and "| adversarial, integers |" in card
    assert sum(estimated(card)) > sum(estimated(plain))
    assert b"discriminator" not in (tmp_path / "w.safetensors").read_bytes()


def test_periodic_axes(samples, tmp_path):
    """The series' own fields are no periods of their waves; these are."""
    sys.path.insert(0, os.path.join(ROOT, "h5tests", "fields"))
    from two_puncture import write_safetensors
    y, x, t = np.mgrid[0:32, 0:32][0] * np.pi / 16, np.mgrid[0:32, 0:32][1] / 20, np.arange(17)[:, None, None] / 8
    write_safetensors(tmp_path / "in.samples", {"x": np.stack([np.sin(2 * y + t + k) * (1 + x) for k in range(8)]).astype("<f4")})
    said = "periodic along the first axis, not along the second"
    assert said in trained(tmp_path / "in.samples", tmp_path / "w.safetensors", "--model", "vae", "--window", "4",
                           "--seconds", "2")


def test_what_is_refused(h5neural, waves, samples, tmp_path):  # noqa: F811
    out = tmp_path / "w.safetensors"
    with h5py.File(tmp_path / "lines.h5", "w") as f:
        f.create_dataset("u", data=np.random.default_rng(0).normal(size=(40, 1, 64)).astype("f4"), chunks=(1, 1, 64))
    said = h5neural("train", f"{tmp_path}/lines.h5:/u", "--model", "vae", "--rel", "1e-2", "-o", out, status=None).stderr
    assert "are neither frames nor series" in said and not out.exists()
    for options, says in (("vae --memory 1", "--memory is of --model dcae"), ("dcae --memory 0", "needs --memory"),
                          ("vae --hyper 3", "--hyper is"), ("diffusion --every 1", "--every is"),
                          ("diffusion --noise some", "--noise cannot be"),
                          ("diffusion --adversarial 1", "--adversarial is of --model vae, contextual and dcae"),
                          ("frames --adversarial 1", "--model frames has no such part")):
        family, *more = options.split()
        done = subprocess.run([WORKER, "train", "--model", family, "--data", samples, "--variable", "x", "--out", out, *more],
                              capture_output=True, text=True)
        assert done.returncode == 1 and says in done.stderr
