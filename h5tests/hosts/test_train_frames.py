"""h5neural train --model frames: it learns from series of frames, and what it writes is proved, found and read back. Fields
and times are tiny: these tests ask whether it works, not how well."""
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import fields
import plugin
from fields import REL
from test_cli import ROOT, WORKER, h5neural, pytestmark as needs_tool  # noqa: F401 (a fixture and a mark)
from test_train import needs_worker

sys.path[:0] = [os.path.join(ROOT, "h5tests", "format"), os.path.join(ROOT, "h5tests", "fields")]
import read_frames  # noqa: E402
import read_payload  # noqa: E402
from two_puncture import write_safetensors  # noqa: E402

pytestmark = [needs_tool, needs_worker]

FRAMES, Y, X = 6, 32, 40


def travelling(count, seed=5):
    """Periodic waves that travel: the frame before, shifted."""
    rng = np.random.default_rng(seed)
    t = np.arange(count)[:, None, None]
    y, x = np.mgrid[0:Y, 0:X] * 2 * np.pi / np.array([Y, X])[:, None, None]
    return sum(a * np.cos(k * x + l * y + 0.4 * k * t + p) for a, k, l, p in
               zip(rng.normal(size=12), rng.integers(1, 5, 12), rng.integers(-4, 5, 12), rng.uniform(0, 6, 12))).astype("<f4")


def halves(count, seed):
    """Every second frame is new, the others are half of the difference of those around."""
    rng = np.random.default_rng(seed)
    n = 64
    waves = np.exp(-np.hypot(np.fft.fftfreq(n, 1 / n)[:, None], np.arange(n // 2 + 1)) / 4)
    u = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(count, n, n))) * waves, s=(n, n))[:, :Y, :X]
    last = (count - 1) // 2 * 2
    u[1:last:2] = (u[:last:2] - u[2:last + 1:2]) / 2
    return u.astype("<f4")


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    u = travelling(24 * FRAMES)
    path = tmp_path_factory.mktemp("waves") / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=u, chunks=(FRAMES, Y, X))
        f.create_dataset("maps", data=u[:40], chunks=(1, Y, X))
    return path


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Arrays of series as the worker takes them."""
    path = tmp_path_factory.mktemp("samples") / "in.samples"
    write_safetensors(path, {"waves": np.stack([travelling(9, seed) for seed in range(8)]),
                             "halves": np.stack([halves(3, seed) for seed in range(40)]),
                             "more": np.stack([travelling(9, seed) for seed in range(20, 40)]), "short": travelling(8).reshape(4, 2, Y, X),
                             "flat": np.ones((4, 9, Y, X), "<f4")})
    return path


def command(samples, variables, out, *more):
    return [WORKER, "train", "--model", "frames", "--data", samples, "--variable", variables, "--out", out, "--levels", "1",
            "--width", "0.25", *more]


def learn(*given):
    return subprocess.run(command(*given), capture_output=True, text=True, timeout=400, env=dict(os.environ, OMP_NUM_THREADS="1"))


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


def test_both_orders(h5neural, samples, tmp_path, monkeypatch):
    """A second network for frames between two; the writer takes the order that is smaller."""
    out = tmp_path / "w.safetensors"
    done = learn(samples, "halves", out, "--order", "both", "--seconds", "16", "--rate", "1e-2")
    assert done.returncode == 0, done.stderr
    assert "36 series of 3 frames to learn from, 4 kept apart; not periodic along the first axis, not" in done.stderr
    card = out.with_suffix(".md").read_text()
    assert "from the frame before" in card and "from the mean of both" in card
    lost = [float(v) for v in re.findall(r"\| (-?[\d.e+-]+) % more", card)]
    assert len(lost) == 6 and max(abs(v) for v in lost) < 5
    shown = h5neural("weights", "show", out).stdout
    assert "proved" in shown and "predict" in shown and "between" in shown

    monkeypatch.setenv("H5NEURAL_WEIGHTS_PATH", str(out))
    model = int.from_bytes(hashlib.sha256(out.read_bytes()).digest()[:8], "big")
    values, ways = halves(9, 99), set()
    payload = plugin.encode(values, (*fields.ieee(REL, 1e-2), model >> 32, model & 0xFFFFFFFF, 5))
    fields.check(values, plugin.decode(payload, values), REL, 1e-2)
    header = read_payload.Header(payload)
    assert header.kind == read_payload.FRAMES and header.model == model
    read_payload.read_payload(payload, ways.add, frames_of=lambda h: read_frames.Frames(out, h.latents))
    assert {"between", "kept"} <= ways and "causal" not in ways


def progress(checkpoint):
    """What a checkpoint says of how far it is, or None where there is none yet."""
    try:
        with open(checkpoint, "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        return json.loads(header["__metadata__"]["progress"])
    except FileNotFoundError:
        return None


def test_killed_and_resumed(h5neural, samples, tmp_path):
    """Killed at its first checkpoint, and again in its second network: the same command goes on each time, and the card gives
    the time and the steps of all runs. It learns from two arrays."""
    out, seconds = tmp_path / "w.safetensors", 24
    checkpoint, given = f"{out}.checkpoint", (samples, "waves,more", out, "--order", "both", "--seconds", str(seconds))
    before = {"step": 0, "seconds": 0, "stage": 0}
    for stage in (0, 2):
        run = subprocess.Popen(command(*given), stderr=subprocess.PIPE, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
        deadline = time.time() + 300
        while run.poll() is None and time.time() < deadline:
            now = progress(checkpoint)
            if now and now["step"] > before["step"] and now["stage"] >= stage:
                break
            time.sleep(0.05)
        assert run.poll() is None, run.stderr.read()
        run.kill()
        said = run.communicate()[1]
        assert not out.exists() and (stage == 0 or f"going on from {checkpoint}: step {before['step']}" in said)
        before = progress(checkpoint)
    assert "belongs to a run with other options" in learn(*given[:-1], "25").stderr
    done = learn(*given)
    assert done.returncode == 0 and f"step {before['step']}, " in done.stderr
    for line in ("7 series of 9 frames to learn from, 1 kept apart", "18 series of 9 frames to learn from, 2 kept apart"):
        assert line in done.stderr
    card = out.with_suffix(".md").read_text()
    steps, trained = map(int, re.search(r"\| trained \| (\d+) steps, (\d+) s", card).groups())
    assert steps > before["step"] and seconds - 1 <= trained <= seconds + 5
    times = [int(row.split("|")[1]) for row in card[card.index("## Curve"):].splitlines()[4:]]
    assert times == sorted(times) and times[0] < before["seconds"] < times[-1]
    assert "proved" in h5neural("weights", "show", out).stdout


def test_what_is_refused(h5neural, waves, samples, tmp_path):
    out = tmp_path / "w.safetensors"
    said = h5neural("train", f"{waves}:/maps", "--model", "frames", "--rel", "1e-2", "-o", out, status=None).stderr
    assert "are no series of frames" in said and not out.exists()
    for variables, more, says in (("waves", ["--order", "between"], "--order cannot be"), ("short", [], "too short"),
                                  ("waves,short", [], "other frames"), ("waves,flat", [], "array 'flat' are constant"),
                                  ("waves", ["--validation", "8"], "too few")):
        done = learn(samples, variables, out, *more)
        assert done.returncode == 1 and says in done.stderr and not out.exists()
