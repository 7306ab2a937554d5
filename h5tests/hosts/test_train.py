"""h5neural train: what it learns from, which family it takes, what it writes beside the weights; and what it refuses.
Fields and times are tiny: these tests ask whether it works, not how well."""
import base64
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree
import zlib

import h5py
import numpy as np
import pytest

import fields
from test_cli import BIN, ROOT, TOOL, WORKER, h5neural, pytestmark, write_plain  # noqa: F401 (a fixture and a mark)

needs_worker = pytest.mark.skipif(not os.path.exists(WORKER), reason="no h5neural-worker: built without LibTorch")


def punctures(path, count, n=8, variables=("U_CHI",)):
    subprocess.run([sys.executable, os.path.join(ROOT, "h5tests", "fields", "two_puncture.py"), path, "--count",
                    str(count), "--n", str(n), "--variables", *variables], check=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Maps that are sums of two: a linear model of 3 fields says them exactly."""
    y, x = np.mgrid[0:24, 0:32] / 10
    rng = np.random.default_rng(3)
    a, b = rng.normal(1, 0.3, (2, 120, 1, 1))
    maps = a * np.sin(3 * y) * np.cos(2 * x) + b * np.cos(x * y) + rng.normal(0, 1e-3, (120, 24, 32))
    path = tmp_path_factory.mktemp("waves") / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("early", data=maps[:100].astype("f4"), chunks=(1, 24, 32))
        f.create_dataset("late", data=maps[100:].astype("f4"), chunks=(1, 24, 32))
        f.create_dataset("other", data=np.zeros((8, 8), "f4"), chunks=(4, 4))
        f.create_dataset("numbers", data=np.arange(10))
    return path


def train(h5neural, *arguments, **options):
    return h5neural("train", *arguments, "--rel", "1e-2", "--time", "6s", timeout=120, **options)


def results(card):
    """The rows of the table of families: name -> weights, payload, total."""
    table = card[card.index("## What was tried"):].split("\n\n")[1]
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {r[0]: tuple(float(v) for v in r[1:4]) for r in rows}


def test_linear_from_a_file_of_maps(h5neural, waves, tmp_path):
    out = tmp_path / "w.safetensors"
    said = train(h5neural, f"{waves}:/early", "--model", "linear", "-o", out).stderr
    assert "without" in said and "times smaller" in said and "H5NEURAL_WEIGHTS_PATH" in said
    assert sorted(os.listdir(tmp_path)) == ["w.html", "w.md", "w.safetensors"]
    card = (tmp_path / "w.md").read_text()
    rows = results(card)
    assert rows["linear"][2] < rows["none"][2] and rows["linear"][0] == os.path.getsize(out)
    assert "80 chunks to learn from, 15 for validation, 5 for the test" in card
    for line in ("SHA-256 of the samples", f"h5neural train {waves}:/early --rel 0.01 --model linear"):
        assert line in card

    # The weights work: they are found, and later maps are smaller with them.
    sizes = {}
    for name in ("none", "w"):
        small = tmp_path / f"{name}.h5"
        said = h5neural("repack", "--rel", "1e-2", "--dataset", "/late", "--model", name, waves, small, "--json",
                        env={"H5NEURAL_WEIGHTS_PATH": str(out)})
        (late,) = [d for d in json.loads(said.stdout)["datasets"] if d["path"] == "/late"]
        sizes[name] = late["stored_bytes"]
    assert sizes["w"] < 0.8 * sizes["none"]


def test_a_whole_file_and_several_inputs(h5neural, waves, tmp_path):
    """Of a FILE the float datasets whose chunks are alike; the others are named."""
    said = train(h5neural, waves, "--model", "linear", "-o", tmp_path / "a.safetensors").stderr
    assert "left out" in said and "/other" in said and "120 chunks" in (tmp_path / "a.md").read_text()
    train(h5neural, f"{waves}:/early", f"{waves}:/late", "--model", "linear", "-o", tmp_path / "b.safetensors")
    assert "120 chunks" in (tmp_path / "b.md").read_text()


def test_whole_files_are_kept_apart(h5neural, tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for k in range(5):
        paths.append(tmp_path / f"{k}.h5")
        with h5py.File(paths[-1], "w") as f:
            f.create_dataset("u", data=rng.normal(size=(10, 1, 16)).cumsum(2).astype("f4"), chunks=(1, 1, 16))
    said = train(h5neural, *paths, "--model", "linear", "--split", "source", "-o", tmp_path / "w.safetensors").stderr
    assert "30 chunks of [16] to learn from, 10 for validation, 10 for the test (whole files" in said
    assert "3 or more" in h5neural("train", *paths[:2], "--model", "linear", "--split", "source", "--abs", 1, "-o",
                                   tmp_path / "v.safetensors", status=2).stderr


def test_the_same_again(h5neural, waves, tmp_path):
    """Seed, data and a time that is not used up: the same weights."""
    for name in ("a", "b"):
        h5neural("train", f"{waves}:/late", f"{waves}:/early", "--model", "linear", "--modes", 4, "--rel", "1e-2", "--name", "w",
                 "-o", tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_weights_to_start_from(h5neural, waves, tmp_path):
    """From 20 maps alone little is learned; with the weights of 100 others more."""
    train(h5neural, f"{waves}:/early", "--model", "linear", "-o", tmp_path / "old.safetensors")
    train(h5neural, f"{waves}:/late", "--model", "linear", "--from", tmp_path / "old.safetensors", "-o",
          tmp_path / "new.safetensors")
    rows = results((tmp_path / "new.md").read_text())
    assert set(rows) == {"none", "linear", "from"}
    assert "count as much" not in (tmp_path / "new.md").read_text()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x10" * 40)
    for path, says in ((bad, "refused"), (tmp_path / "none.safetensors", "no such")):
        assert says in h5neural("train", f"{waves}:/late", "--abs", 1, "--from", path, "-o", tmp_path / "x.safetensors",
                                status=2).stderr


def test_nothing_is_written_where_nothing_pays(h5neural, tmp_path):
    noise = np.random.default_rng(1).normal(size=(60, 64)).astype("f4")
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("u", data=noise, chunks=(1, 64))
    out = tmp_path / "w.safetensors"
    said = train(h5neural, f"{tmp_path}/in.h5:/u", "-o", out, status=1).stderr
    assert "no model pays" in said and "not written" in said
    assert os.listdir(tmp_path) == ["in.h5"]
    # A family that was asked for is written, and the card says that it does not pay.
    train(h5neural, f"{tmp_path}/in.h5:/u", "-o", out, "--model", "linear")
    rows = results((tmp_path / "w.md").read_text())
    assert rows["linear"][2] >= rows["none"][2]


# ---- the report

class Png:
    """A PNG file taken apart: checksums are right, and zlib reads its rows."""

    def __init__(self, data):
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        at, parts = 8, {}
        while at < len(data):
            n, = struct.unpack(">I", data[at:at + 4])
            kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + n]
            assert struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0] == zlib.crc32(kind + body)
            parts[kind] = body
            at += 12 + n
        assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
        self.width, self.height, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
        assert rest == [8, 2, 0, 0, 0]
        rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(self.height, 1 + 3 * self.width)
        assert not rows[:, 0].any()
        self.pixels = rows[:, 1:].reshape(self.height, self.width, 3)


def test_the_report(h5neural, waves, tmp_path):
    report = tmp_path / "look.html"
    train(h5neural, f"{waves}:/early", "--model", "linear", "-o", tmp_path / "w.safetensors", "--report", report)
    page = report.read_text()
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)  # nothing from elsewhere
    images = [Png(base64.b64decode(d)) for d in re.findall(r"data:image/png;base64,([^\"]*)", page)]
    assert [(i.width, i.height) for i in images] == [(32, 24)] * 3
    original, base, error = (i.pixels.astype(int) for i in images)
    assert abs(original - base).mean() < 10 and len(np.unique(original.reshape(-1, 3), axis=0)) > 50
    assert error.std() > 0
    charts = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(charts) == 2  # ratio against bound, and the curve of the one family
    for chart in charts:
        lines = xml.etree.ElementTree.fromstring(chart).findall("polyline")
        assert lines and all(len(line.get("points").split()) >= 2 for line in lines)
    assert len(xml.etree.ElementTree.fromstring(charts[0]).findall("polyline")) == 2


# ---- what is refused

def test_refusals(h5neural, waves, tmp_path):
    a = fields.wave((20, 8, 8))
    path = write_plain(tmp_path / "a.h5", u=a, i=np.arange(30).reshape(5, 6), c=np.zeros((64, 8, 8)))
    (tmp_path / "text.h5").write_text("no HDF5")
    out = tmp_path / "w.safetensors"
    for arguments, says in [
        ([path], "no dataset to learn from"), ([f"{path}:/no"], "no dataset"), ([f"{path}:/i"], "int64"),
        ([f"{path}:/u"], "--chunk"), ([f"{path}:/u", "--chunk", "8,8"], "rank 3"), ([f"{path}:/u", "--chunk", "8,x,8"], "--chunk"),
        ([f"{path}:/u", "--chunk", "4,4,4", "--abs", "0"], "bound"), ([f"{path}:/u", "--chunk", "4,8,8"], "too few"),
        ([f"{path}:/c", "--chunk", "2,8,8"], "constant"), ([f"{path}:/u", "--chunk", "4,4,4", "--resume"], "resume"),
        ([f"{path}:/u", f"{waves}:/early"], "--chunk"), ([tmp_path / "text.h5"], "text.h5"),
        ([tmp_path / "none.h5"], "none.h5"), ([f"{path}:/u", "--chunk", "1,1,1"], "axes"),
        ([f"{path}:/u", "--time", "soon"], "20m"), ([f"{path}:/u", "--time", "0s"], "20m"),
        ([f"{path}:/u", "--form", "block"], "--model"), ([f"{path}:/u", "--model", "none"], "--model"),
    ]:
        more = [] if "--abs" in arguments else ["--abs", "1e-2"]
        assert says in h5neural("train", *arguments, *more, "-o", out, status=2).stderr, arguments
    assert "give --abs" in h5neural("train", f"{path}:/u", "-o", out, status=2).stderr
    assert ".safetensors" in h5neural("train", f"{path}:/u", "--abs", 1, "-o", tmp_path / "w", status=2).stderr
    for leftover in os.listdir(tmp_path):
        assert not leftover.endswith(".safetensors")


def test_without_a_worker(h5neural, waves, tmp_path):
    """auto goes on without it and says so; asked for by name it is missed."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("h5neural", "h5neural-linear"):
        shutil.copy(os.path.join(BIN, name), tools)
    env = {"PATH": "/nonexistent", "LD_LIBRARY_PATH": os.path.join(BIN, "..", "lib", "h5neural")}
    data = punctures(tmp_path / "in.h5", 60)
    command = [tools / "h5neural", "train", f"{data}:/U_CHI", "--rel", "1e-2", "--time", "3s", "-o", tmp_path / "w.safetensors"]
    done = subprocess.run([*command, "--model", "swae"], capture_output=True, text=True, env=env)
    assert done.returncode == 2 and "H5NEURAL_TORCH=ON" in done.stderr
    done = subprocess.run([*command, "--chunks", "10000"], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and "not tried: swae" in done.stderr
    assert "Not tried: swae" in (tmp_path / "w.md").read_text()


# ---- interrupted

@needs_worker
def test_interrupted_and_resumed(h5neural, run, tmp_path):
    """auto, stopped while the network learns: linear is not learned again, and the network goes on."""
    data = punctures(tmp_path / "sim.h5", 120)
    out = tmp_path / "w.safetensors"
    folder = f"{out}.unfinished"
    command = [TOOL, "train", f"{data}:/U_CHI", "--abs", "5e-3", "-o", str(out), "--time", "14s", "--latents", "4",
               "--chunks", "1000000"]
    # A shell's background job has SIGINT ignored, and hands that down.
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.time() + 120
    while not os.path.exists(f"{folder}/swae.checkpoint") and time.time() < deadline and first.poll() is None:
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(60) != 0
    assert not out.exists() and "--resume" in h5neural(*command[1:], status=2).stderr
    assert "other options" in h5neural(*command[1:], "--seed", "5", "--resume", status=2).stderr
    learned = os.stat(f"{folder}/linear.safetensors").st_mtime_ns
    said = h5neural(*command[1:], "--resume", timeout=300, status=None).stderr
    assert "going on from" in said and "basis fields" not in said.split("going on from")[0]
    assert learned < time.time_ns() and not os.path.exists(folder)


@needs_worker
def test_the_network(h5neural, run, tmp_path):
    """Weights of the network are found, named, and their chunks verify."""
    data = punctures(tmp_path / "sim.h5", 60)
    out = tmp_path / "w.safetensors"
    said = train(h5neural, f"{data}:/U_CHI", "--model", "swae", "--latents", 4, "-o", out)
    assert re.search(r"swae so far: 6 validation chunks take [0-9.]+ bytes, [0-9.]+ without", said.stderr)
    page = (tmp_path / "w.html").read_text()
    assert "fields, validation" in page and "coefficients, training" in page
    weights = {"H5NEURAL_WEIGHTS_PATH": str(out)}
    with h5py.File(data) as f:
        stack = f["U_CHI"][...].reshape(-1, 8, 8)
    with h5py.File(tmp_path / "plain.h5", "w") as f:
        f.create_dataset("u", data=stack, chunks=(8, 8, 8))
    flags = h5neural("flags", "--abs", "5e-3", "--model", "w", env=weights).stdout.strip()
    run("h5repack", "-f", flags, tmp_path / "plain.h5", tmp_path / "small.h5", env=weights)
    assert "kept" in h5neural("verify", tmp_path / "plain.h5", tmp_path / "small.h5", env=weights).stdout


@needs_worker
def test_three_branch(h5neural, run, tmp_path):
    """Cells of two patterns with weights of their own, which no neighbours tell: learned, embedded, read without."""
    rng = np.random.default_rng(1)
    even, odd = np.ones(4), np.array([1, -1, -1, 1])  # windows are mirrored at random, and so are these
    a, b = rng.normal(size=(2, 60, 16, 16))
    maps = (np.einsum("nyx,i,j->nyixj", a, odd, odd) + np.einsum("nyx,i,j->nyixj", b, odd, even)).reshape(60, 64, 64)
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("u", data=(maps + rng.normal(0, 0.03, maps.shape)).astype("f4"), chunks=(1, 64, 64))
    out, small = tmp_path / "w.safetensors", tmp_path / "small.h5"
    said = train(h5neural, f"{tmp_path}/in.h5:/u", "--model", "three-branch", "-o", out).stderr
    assert "step" in said and "Family three-branch" in (tmp_path / "w.md").read_text()
    h5neural("repack", "--rel", "1e-1", "--model", out, "--embed=always", tmp_path / "in.h5", small)
    out.unlink()
    assert "three-branch" in h5neural("weights", "list", small).stdout
    assert re.search(r"w \([0-9a-f]{16}\) in [1-9]", h5neural("info", small).stdout)
    assert "kept" in h5neural("verify", tmp_path / "in.h5", small).stdout


@needs_worker
@pytest.mark.parametrize("form", ("chunk", "block"))
def test_swae_goes_on_from_weights(h5neural, tmp_path, form):
    """A network starts where the weights file's ended, on data in another unit."""
    data = punctures(tmp_path / "sim.h5", 60)
    options = ["--model", "swae", *(("--form", "block", "--block", "4,4,4", "--width", "0.1") if form == "block" else ())]
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    last = last_validation(train(h5neural, f"{data}:/U_CHI", *options, "--latents", 4, "-o", old).stderr)
    with h5py.File(data) as f, h5py.File(tmp_path / "scaled.h5", "w") as g:
        g.create_dataset("u", data=40 * f["U_CHI"][...] - 7, chunks=(1, 8, 8, 8))
    said = train(h5neural, f"{tmp_path}/scaled.h5:/u", *options, "--from", old, "-o", new).stderr
    first = float(re.search(r"starting from .*: validation ([0-9.e+-]+)", said)[1])
    assert first < 1.25 * last  # the coarse modes are held in 8 bits
    assert set(results((tmp_path / "new.md").read_text())) == {"none", "swae", "from"}
    small = tmp_path / "small.h5"
    h5neural("repack", "--rel", "1e-2", "--model", new, tmp_path / "scaled.h5", small)
    env = {"H5NEURAL_WEIGHTS_PATH": str(new)}
    assert "kept" in h5neural("verify", tmp_path / "scaled.h5", small, env=env).stdout


@needs_worker
def test_a_device_that_is_not_there(h5neural, waves, tmp_path):
    """CUDA_VISIBLE_DEVICES hides GPUs, where there are any."""
    linear = h5neural("train", f"{waves}:/early", "--model", "linear", "--device", "cuda", "--rel", "1e-2", "-o",
                      tmp_path / "w.safetensors", status=2)
    assert "linear learns on the CPU" in linear.stderr
    said = train(h5neural, f"{waves}:/early", "--model", "three-branch", "--device", "cuda", "-o",
                 tmp_path / "w.safetensors", status=2, env={"CUDA_VISIBLE_DEVICES": ""}).stderr
    assert "--device cuda: this LibTorch finds no GPU" in said and not (tmp_path / "w.safetensors").exists()


def last_validation(said):
    return float(re.findall(r"step \d+  (?:fields|rounded)  training \S+  validation (\S+)", said)[-1])


@needs_worker
def test_weights_that_cannot_pay_back_are_not_learned(h5neural, tmp_path):
    data = punctures(tmp_path / "sim.h5", 60)
    said = train(h5neural, f"{data}:/U_CHI", "-o", tmp_path / "w.safetensors", status=None).stderr
    assert "not tried: swae" in said and "cannot pay back over 60 chunks" in said and "step" not in said


@pytest.fixture(scope="module")
def ridges(tmp_path_factory):
    """Fields with sharp ridges, which a linear prediction misses in the same way each time."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:48, 0:48] / 48
    maps = []
    for _ in range(24):
        a, b, c, d = rng.uniform(2, 6, 4)
        maps.append(np.abs(np.sin(a * x + b * y)) + np.abs(np.cos(c * x - d * y)))
    path = tmp_path_factory.mktemp("ridges") / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=np.array(maps, "f4"), chunks=(1, 48, 48))
    return path


@needs_worker
def test_corrections_learns_writes_and_goes_on(h5neural, ridges, tmp_path):
    out, further = tmp_path / "w.safetensors", tmp_path / "further.safetensors"
    said = train(h5neural, ridges, "--model", "corrections", "-o", out).stderr
    lost = float(re.search(r"integers lose (\S+) %", said).group(1))
    assert abs(lost) < 0.5

    # Its integers can be learned on: the same network in shape.
    train(h5neural, ridges, "--model", "corrections", "--from", out, "-o", further)
    assert abs(os.path.getsize(further) - os.path.getsize(out)) < 200

    # Payloads name it, and come back within the bound.
    small, env = tmp_path / "small.h5", {"H5NEURAL_WEIGHTS_PATH": str(out)}
    h5neural("repack", "--rel", "1e-3", "--model", "w", ridges, small, env=env)
    h5neural("verify", ridges, small, env=env)
