"""h5neural repack --learn: weights from the file's own chunks, put into it where that makes it smaller; never larger."""
import json
import os
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

import fields
from fields import REL
from test_cli import TOOL, h5neural, pytestmark, write_plain  # noqa: F401 (a fixture and a mark)
from test_train import punctures
from test_weights import elsewhere  # noqa: F401 (a fixture)


def maps(count, seed=0, shape=(24, 32)):
    """Sums of two waves, and a little noise."""
    y, x = (np.mgrid[0:shape[0], 0:shape[1]] / 10)
    a, b = np.random.default_rng(seed).normal(1, 0.3, (2, count, 1, 1))
    return (a * np.sin(3 * y) * np.cos(2 * x) + b * np.cos(x * y)
            + np.random.default_rng(seed + 1).normal(0, 1e-3, (count, *shape))).astype("f4")


def repack(h5neural, source, out, *more, learn="5s"):
    learning = ["--learn", learn] if learn else []
    return json.loads(h5neural("repack", "--rel", "1e-2", *learning, *more, "--json", source, out, timeout=200).stdout)


def check_both(h5neural, source, tmp_path, *more):
    """Written with and without: what the report says is so, and learning never makes the file larger."""
    without = repack(h5neural, source, tmp_path / "without.h5", *more, learn=None)
    said = repack(h5neural, source, tmp_path / "with.h5", *more)
    assert said["bytes_without_learning"] == os.path.getsize(tmp_path / "without.h5") == without["bytes"]
    assert said["bytes"] == os.path.getsize(tmp_path / "with.h5") <= without["bytes"]
    h5neural("verify", source, tmp_path / "with.h5")
    return said


def test_a_series_of_maps_pays(h5neural, elsewhere, tmp_path):
    source, values = tmp_path / "in.h5", maps(200)
    with h5py.File(source, "w") as f:
        f.create_dataset("u", data=values, chunks=(1, 24, 32))
        f.create_dataset("v", data=3 * values[::-1], chunks=(1, 24, 32))
        f.create_dataset("t", data=np.arange(200.0))
    said = check_both(h5neural, source, tmp_path)
    (group,) = [g for g in said["learned"] if g["chunk"] == [24, 32]]
    assert group["used"] and group["datasets"] == ["/u", "/v"] and group["family"] == "linear"
    assert group["bytes_with"] + group["weights_bytes"] < group["bytes_without"]
    assert [w["sha256"] for w in said["weights"]] == [group["sha256"]]
    assert any("weights counted" in n for n in said["notes"])
    assert sorted(os.listdir(tmp_path)) == ["in.h5", "with.h5", "without.h5"]
    # The file is read where its weights never were.
    path = os.path.join(elsewhere.folder, "moved.h5")
    os.rename(tmp_path / "with.h5", path)
    os.chmod(path, 0o644)
    elsewhere.python("import sys, h5py; print(h5py.File(sys.argv[1])['u'][...].sum())", path)
    with h5py.File(path) as f:
        fields.check(values, f["u"][...], REL, 1e-2, (1, 24, 32))


def test_the_grid_that_is_written_is_learned(h5neural, tmp_path):
    """A contiguous dataset, cut by --chunk, with chunks at the edge."""
    write_plain(tmp_path / "in.h5", u=maps(100, shape=(26, 32)))
    said = check_both(h5neural, tmp_path / "in.h5", tmp_path, "--chunk", "1,24,32")
    (group,) = said["learned"]
    assert group["chunk"] == [24, 32]


@pytest.mark.parametrize("case", ["few", "noise", "one of two"])
def test_never_larger(h5neural, tmp_path, case):
    rng, source = np.random.default_rng(2), tmp_path / "in.h5"
    with h5py.File(source, "w") as f:
        if case == "few":
            f.create_dataset("u", data=maps(6), chunks=(1, 24, 32))
        else:
            f.create_dataset("noise", data=rng.normal(size=(60, 64)).astype("f4"), chunks=(1, 64))
        if case == "one of two":
            f.create_dataset("u", data=maps(200), chunks=(1, 24, 32))
    said = check_both(h5neural, source, tmp_path)
    used = [bool(g.get("used")) for g in said["learned"]]
    assert used == {"few": [False], "noise": [False], "one of two": [True, False]}[case]
    assert len(said["notes"]) == len(used)
    if case == "few":
        assert "too few" in said["learned"][0]["why_not"]
    if case != "one of two":
        assert said["bytes"] == said["bytes_without_learning"] and said["weights"] == []


def test_refusals(h5neural, tmp_path):
    write_plain(tmp_path / "in.h5", u=maps(30))
    for arguments, says in [(["--learn", "soon", "--rel", "1e-2"], "20m"), (["--learn", "5s", "--lossless"], "--abs"),
                            (["--learn", "5s", "--rel", "1e-2", "--model", "none"], "--model"),
                            (["--learn", "5s", "--ratio", "1e-2"], "--abs")]:
        assert says in h5neural("repack", *arguments, tmp_path / "in.h5", tmp_path / "out.h5", status=2).stderr
    assert os.listdir(tmp_path) == ["in.h5"]


def test_interrupted_while_learning_leaves_nothing(tmp_path):
    data = punctures(tmp_path / "in.h5", 60, n=16)
    command = [TOOL, "repack", "--rel", "1e-3", "--learn", "60s", data, tmp_path / "out.h5"]
    first = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.time() + 60
    while not any(n.endswith(".learning") for n in os.listdir(tmp_path)) and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(60) != 0
    time.sleep(0.2)
    assert os.listdir(tmp_path) == ["in.h5"]
