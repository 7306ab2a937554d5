"""h5neural feasibility: its times, gains and break-even speeds follow from what it says it measured; what cannot be measured
is refused."""
import csv
import io
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import fields
from test_cli import ROOT, h5neural, pytestmark, write_plain  # noqa: F401 (a fixture and a mark)

CORES = len(os.sched_getaffinity(0))
BITS = 1e9 / 8


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("feasibility") / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=fields.wave((20, 48, 48)), chunks=(8, 24, 48), fillvalue=-9.0)
        f.create_dataset("noise", data=np.random.default_rng(1).integers(0, 2**32, (64, 64), "u4").view("f4"), chunks=(64, 64))
        f["n"], f["one"], f["none"] = np.arange(100), 3.0, np.zeros((0, 4))
    return path


def measure(h5neural, target, *arguments):
    return json.loads(h5neural("feasibility", target, "--sample", "1", "--json", *arguments).stdout)


@pytest.fixture(scope="module")
def report(file):
    """One measurement for all who only look at it: slow and fast links, a disk, both efforts, two cores where there are."""
    from test_cli import TOOL
    done = subprocess.run([TOOL, "feasibility", f"{file}:/u", "--rel", "1e-2", "--efforts", "5,0,5", "--cores", str(min(CORES, 2)),
                           "--link", "tin can=0.00000001", "--link", "a=b=5e2", "--path", os.path.dirname(file), "--sample", "1",
                           "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_was_measured(report, file):
    assert report["raw_bytes"] == 20 * 48 * 48 * 4 and report["chunk"] == [8, 24, 48] and report["chunks"] == 6
    assert report["sample_chunks"] == 6 and report["sample_bytes"] == report["raw_bytes"]  # without what lies past the edge
    assert report["bound"] == "rel 0.01"
    cores = sorted({1, min(CORES, 2)})
    assert [(m["effort"], m["cores"]) for m in report["measured"]] == [(e, c) for e in (0, 5) for c in cores]
    for m in report["measured"]:
        assert m["ratio"] == pytest.approx(report["sample_bytes"] / m["payload_bytes"]) and m["ratio"] > 5
        assert m["encode_bytes_per_s"] > 0 and m["decode_bytes_per_s"] > 0 and 0 < m["cpu_share"] <= 1
        assert m["chunks_per_core"] == -(-6 // m["cores"]) and sum(m["models"].values()) == 6
    # The number of cores changes no byte.
    by_effort = {(m["effort"], m["payload_bytes"]) for m in report["measured"]}
    assert len(by_effort) == 2
    assert not os.listdir(os.path.dirname(file)) or os.listdir(os.path.dirname(file)) == ["in.h5"]


def test_the_ratio_is_that_of_a_file(report, h5neural, file, tmp_path):
    h5neural("repack", "--rel", "1e-2", "--dataset", "u", file, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as f:
        stored = f["u"].id.get_storage_size()
    assert {m["payload_bytes"] for m in report["measured"] if m["effort"] == 5} == {stored}


def test_links(report):
    links = {link["name"]: link for link in report["links"]}
    assert len(links) == len(report["links"])
    basis = {name: link["basis"] for name, link in links.items()}
    assert basis["memory, 1 core"] == "measured" and basis["disk"] == "measured"
    assert basis["tin can"] == "given" and links["tin can"]["bytes_per_s"] == 10 and links["a=b"]["bytes_per_s"] == 5e11
    nominal = {n: link["bytes_per_s"] for n, link in links.items() if link["basis"] == "nominal"}
    # Line rates; nothing carries more than its line, nor does a packet's header take a tenth of it.
    lines = {"NVLink 4": 450e9, "PCIe 5 x16": 512 * BITS * 128 / 130, "PCIe 4 x16": 256 * BITS * 128 / 130,
             "InfiniBand NDR": 400 * BITS, "InfiniBand HDR": 200 * BITS, "Ethernet 100G": 100 * BITS,
             "Ethernet 25G": 25 * BITS, "Ethernet 10G": 10 * BITS, "WAN 1G": BITS}
    assert nominal.keys() == lines.keys()
    for name, speed in nominal.items():
        assert 0.9 * lines[name] <= speed <= lines[name], name
    assert all(link["source"] for link in report["links"])
    disk = links["disk"]
    assert disk["bytes_per_s"] == pytest.approx(1 / (1 / disk["write_bytes_per_s"] + 1 / disk["read_bytes_per_s"]))


def overlapped(raw, m, bytes_per_s):
    """The end of a pipeline of three stages, chunk after chunk: not by a formula."""
    n, ends = int(m["chunks_per_core"]), [0.0, 0.0, 0.0]
    stages = [raw / m["encode_bytes_per_s"], raw / m["ratio"] / bytes_per_s, raw / m["decode_bytes_per_s"]]
    for _ in range(n):
        before = 0.0
        for k, seconds in enumerate(stages):
            before = ends[k] = max(ends[k], before) + seconds / n
    return ends[-1]


def test_times_follow_from_the_speeds(report):
    raw = report["raw_bytes"]
    measured = {(m["effort"], m["cores"]): m for m in report["measured"]}
    links = {link["name"]: link for link in report["links"]}
    assert len(report["times"]) == len(measured) * len(links)
    for t in report["times"]:
        m, link = measured[t["effort"], t["cores"]], links[t["link"]]
        speed = link["bytes_per_s"]
        assert t["raw_s"] == pytest.approx(raw / speed)
        assert t["transfer_s"] == pytest.approx(raw / m["ratio"] / speed)
        assert t["encode_s"] == pytest.approx(raw / m["encode_bytes_per_s"])
        assert t["decode_s"] == pytest.approx(raw / m["decode_bytes_per_s"])
        assert t["serial_s"] == pytest.approx(t["encode_s"] + t["transfer_s"] + t["decode_s"])
        if "write_bytes_per_s" not in link:
            assert t["overlapped_s"] == pytest.approx(overlapped(raw, m, speed))
        assert max(t["encode_s"], t["decode_s"]) <= t["overlapped_s"] <= t["serial_s"] * (1 + 1e-9)
        assert t["gain_serial"] == pytest.approx(t["raw_s"] / t["serial_s"])
        assert t["gain_overlapped"] == pytest.approx(t["raw_s"] / t["overlapped_s"])


def test_break_even(report):
    """Just below the speed it pays, just above it does not, for both ways and every measurement."""
    raw = report["raw_bytes"]
    for m in report["measured"]:
        def serial(b):
            return raw / m["encode_bytes_per_s"] + raw / m["ratio"] / b + raw / m["decode_bytes_per_s"]

        for name, time in (("serial", serial), ("overlapped", lambda b: overlapped(raw, m, b))):
            b = m[f"break_even_{name}_bytes_per_s"]
            assert b > 0
            assert time(b) == pytest.approx(raw / b)
            assert time(0.99 * b) < raw / (0.99 * b) and time(1.01 * b) > raw / (1.01 * b)


def test_a_slow_link_gains_the_ratio_and_a_fast_one_nothing(report):
    measured = {(m["effort"], m["cores"]): m for m in report["measured"]}
    slow = [t for t in report["times"] if t["link"] == "tin can"]
    fast = [t for t in report["times"] if t["link"] == "a=b"]
    assert len(slow) == len(fast) == len(measured)
    for t in slow:
        assert 1 < t["gain_serial"] <= t["gain_overlapped"] <= measured[t["effort"], t["cores"]]["ratio"]
        assert t["gain_serial"] > 0.8 * measured[t["effort"], t["cores"]]["ratio"]
    assert all(t["gain_overlapped"] < 1 for t in fast)


def test_what_does_not_shrink_never_pays(h5neural, file):
    report = measure(h5neural, f"{file}:/noise", "--lossless", "--cores", "1", "--link", "tin can=1e-6")
    for m in report["measured"]:
        assert m["ratio"] <= 1 and m["break_even_serial_bytes_per_s"] == m["break_even_overlapped_bytes_per_s"] == 0
    assert all(t["gain_serial"] < 1 for t in report["times"])
    text = h5neural("feasibility", f"{file}:/noise", "--lossless", "--cores", "1", "--efforts", "0").stdout
    assert "never" in text


def test_a_model_is_used(h5neural, tmp_path):
    path = tmp_path / "in.h5"
    subprocess.run([sys.executable, os.path.join(ROOT, "h5tests", "fields", "two_puncture.py"), path, "--split", "test",
                    "--count", "2", "--variables", "U_CHI"], check=True, timeout=120)
    sizes = {}
    for model in ("swae-chunk32-chi", "none"):
        report = measure(h5neural, f"{path}:/U_CHI", "--rel", "1e-2", "--chunk", "1,32,32,32", "--model", model, "--efforts", "5",
                         "--cores", "1")
        (m,) = report["measured"]
        ((name, chunks),) = m["models"].items()
        assert name.startswith(model) and chunks == report["sample_chunks"]
        sizes[model] = m["payload_bytes"]
    assert sizes["swae-chunk32-chi"] < sizes["none"]


def test_text_and_csv_say_what_is_measured(h5neural, file):
    text = h5neural("feasibility", f"{file}:/u", "--abs", "1e-2", "--cores", "1", "--efforts", "0").stdout
    for said in ("measured here", "nominal", "NVLink 4", "WAN 1G", "loopback", "memcpy", "IEEE 802.3", "overlapped"):
        assert said in text, said
    done = h5neural("feasibility", f"{file}:/u", "--abs", "1e-2", "--cores", "1", "--efforts", "0", "--csv", "--link", 'a,"b=1')
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {'a,"b', "PCIe 4 x16", "memory, 1 core"} <= {r["link"] for r in rows}
    for r in rows:
        assert float(r["gain_serial"]) == pytest.approx(float(r["raw_s"]) / float(r["serial_s"]))


def test_edges_and_whole_datasets(h5neural, tmp_path):
    """Chunks past the edge, chunks larger than the dataset, no chunks at all, float64, a part of the chunks only."""
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("v", data=fields.wave((40, 50), ">f8"), maxshape=(None, None), chunks=(64, 64))
        f["plain"] = fields.wave((64, 128, 128))
    r = measure(h5neural, f"{path}:/v", "--abs", "1e-3", "--efforts", "0", "--cores", "1")
    assert (r["chunks"], r["sample_bytes"], r["raw_bytes"], r["chunk"]) == (1, 16000, 16000, [64, 64])
    r = measure(h5neural, f"{path}:/plain", "--abs", "1e-1", "--efforts", "0", "--cores", "1", "--chunk", "32,64,64")
    assert (r["chunks"], r["sample_chunks"], r["sample_bytes"]) == (8, 2, 1 << 20)


@pytest.mark.parametrize("link", ["x", "x=", "=1", "x=0", "x=-1", "x=nan", "x=inf", "x=1e99", "x=1e-12", "x=1GB", "x=1 ", "PCIe 4 x16=9",
                                  "loopback socket=1"])
def test_bad_links_are_refused(h5neural, file, link):
    done = h5neural("feasibility", f"{file}:/u", "--abs", "1e-2", "--cores", "1", "--link", link, status=2)
    assert "--link" in done.stderr and "give" in done.stderr and not done.stdout


@pytest.mark.parametrize("target, arguments, said", [
    (":/u", [], "--abs"), (":/u", ["--abs", "1", "--rel", "1"], "Exactly 1"), (":/u", ["--abs", "nan"], "bound"),
    ("", ["--abs", "1"], "say which dataset"), (":/q", ["--abs", "1"], "no dataset"), (":/n", ["--abs", "1"], "float32 and float64"),
    (":/one", ["--abs", "1"], "one value"), (":/none", ["--abs", "1"], "no values"), (":/u", ["--abs", "1", "--cores", "0"], "--cores"),
    (":/u", ["--abs", "1", "--cores", str(CORES + 1)], "give 1 to"), (":/u", ["--abs", "1", "--chunk", "4"], "axes"),
    (":/u", ["--abs", "1", "--chunk", "0,1,1"], "--chunk"), (":/u", ["--abs", "1", "--efforts", "0,10"], "--efforts"),
    (":/u", ["--abs", "1", "--model", "nix"], "no weights"), (":/u", ["--abs", "1", "--path", "/no/where"], "--path"),
    (":/u", ["--abs", "1", "--json", "--csv"], "--csv"), (":/u", ["--abs", "1", "--sample", "0"], "--sample"),
])
def test_what_cannot_be_measured_is_refused(h5neural, file, target, arguments, said):
    done = h5neural("feasibility", f"{file}{target}", *arguments, status=2)
    assert said in done.stderr and not done.stdout
