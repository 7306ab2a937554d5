"""`h5neural bench`: every cell has a row, the CSV and the plot are what they say, misuse is named."""
import csv
import itertools
import os
import subprocess
import sys

import pytest

import fields

pytest.importorskip("hdf5plugin")
FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fields", "bluntfin_density.h5")


def bench(*arguments):
    return subprocess.run(["h5neural", "bench", *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, H5NEURAL_PYTHON=sys.executable))


def first_dataset(path):
    import h5py
    with h5py.File(path) as f:
        return next(name for name, item in f.items() if isinstance(item, h5py.Dataset))


@pytest.fixture(scope="module")
def target():
    return f"{FIELD}:/{first_dataset(FIELD)}"


def test_table_csv_and_plot(tmp_path, target):
    pytest.importorskip("matplotlib")
    out, png = tmp_path / "out.csv", tmp_path / "out.png"
    r = bench(target, "--rel", "1e-2", "1e-3", "--efforts", "0", "5", "--peers", "sz3", "zfp", "--repeat", "1",
              "--csv", out, "--png", png)
    assert r.returncode == 0, r.stdout + r.stderr
    rows = list(csv.DictReader(open(out)))
    assert {(row["codec"], row["bound"]) for row in rows} == {
        (c, b) for c in ("h5neural-0", "h5neural-5", "sz3", "zfp") for b in ("0.01", "0.001")}
    for row in rows:
        assert row["status"] == "ok"
        assert float(row["error_over_bound"]) <= 1 and float(row["ratio"]) > 1 and float(row["psnr"]) > 20
        assert float(row["bits_per_value"]) == pytest.approx(32 / float(row["ratio"]))
    ours = {row["bound"]: row for row in rows if row["codec"] == "h5neural-5"}
    for row in rows:
        if row["codec"] == "sz3":
            check_equal_psnr(target, ours[row["bound"]], row)
        elif row["codec"] == "zfp":  # steps of 6 dB, the one that is not lower
            assert -0.05 <= float(row["setting_psnr"]) - float(ours[row["bound"]]["psnr"]) < 8
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 10_000


def check_equal_psnr(target, ours, row):
    """Writes the dataset with the setting that bench found, and expects the PSNR and the gain that bench says."""
    import h5py
    import hdf5plugin
    import numpy as np
    path, _, name = target.rpartition(":")
    with h5py.File(path) as f:
        u = f[name][...]
    made = {("sz3", "abs"): lambda b: hdf5plugin.SZ3(absolute=b), ("sperr", "abs"): lambda b: hdf5plugin.Sperr(absolute=b),
            ("sperr", "psnr"): lambda b: hdf5plugin.Sperr(peak_signal_to_noise_ratio=b)}
    given = u.reshape(u.shape[::-1]) if row["codec"] == "sperr" else u
    with h5py.File("x.h5", "w", driver="core", backing_store=False) as f:
        d = f.create_dataset("u", data=given, chunks=given.shape,
                             **made[row["codec"], row["setting_mode"]](float(row["setting"])))
        f.flush()
        stored = d.id.get_storage_size()
        _, chunk = d.id.read_direct_chunk((0,) * u.ndim)
    with h5py.File("y.h5", "w", driver="core", backing_store=False) as f:  # read from the bytes, not from a cache
        d = f.create_dataset("u", given.shape, given.dtype, chunks=given.shape,
                             **made[row["codec"], row["setting_mode"]](float(row["setting"])))
        d.id.write_direct_chunk((0,) * u.ndim, chunk)
        back = d[...].reshape(u.shape)
    rmse = np.sqrt(np.mean((back.astype("f8") - u) ** 2))
    psnr = 20 * np.log10((u.max() - u.min()) / rmse)
    assert psnr == pytest.approx(float(row["setting_psnr"]), abs=1e-3)
    assert abs(psnr - float(ours["psnr"])) <= 0.05
    assert float(row["at_our_psnr"]) == pytest.approx(float(ours["ratio"]) * stored / u.nbytes, rel=1e-6)


def test_equal_psnr_of_sperr(tmp_path, target):
    out = tmp_path / "out.csv"
    r = bench(target, "--rel", "1e-2", "--efforts", "5", "--peers", "sperr", "--repeat", "1", "--csv", out)
    assert r.returncode == 0, r.stdout + r.stderr
    ours, sperr = csv.DictReader(open(out))
    check_equal_psnr(target, ours, sperr)
    assert float(sperr["psnr"]) > float(ours["psnr"]) + 1  # at equal bound it is better, or the search had nothing to do
    r = bench(target, "--rel", "1e-2", "--efforts", "5", "--peers", "sperr", "--repeat", "1", "--csv", out, "--no-equal-psnr")
    assert r.returncode == 0 and not any(row["at_our_psnr"] for row in csv.DictReader(open(out)))


def test_nrmse_mode(tmp_path, target):
    out = tmp_path / "out.csv"
    r = bench(target, "--nrmse", "1e-2", "--efforts", "1", "--peers", "sz3", "--repeat", "1", "--csv", out)
    assert r.returncode == 0, r.stdout + r.stderr
    ours, sz3 = csv.DictReader(open(out))
    assert float(ours["error_over_bound"]) <= 1 and 0.95 < float(sz3["error_over_bound"]) <= 1


def test_a_peer_that_cannot_do_worse_keeps_its_row(tmp_path, target):
    """No PSNR that SPERR can be asked for is as low as this; the search ends at the smallest."""
    out = tmp_path / "out.csv"
    r = bench(target, "--nrmse", "0.5", "--efforts", "1", "--peers", "sperr", "--repeat", "1", "--csv", out)
    assert r.returncode == 0, r.stdout + r.stderr
    _, sperr = csv.DictReader(open(out))
    assert sperr["status"] == "ok" and float(sperr["error_over_bound"]) < 0.5 and float(sperr["ratio"]) > 1000


@pytest.mark.parametrize("chunk", [(12, 40, 26), (16, 32, 26)])  # two whole chunks; four, padded at two edges
def test_a_chunk_of_a_peer_is_as_large_as_alone(tmp_path, chunk):
    """A peer whose extents are reversed over the whole array codes scrambled chunks: several times larger."""
    path, out, peers = tmp_path / "u.h5", tmp_path / "out.csv", ["sz3", "sperr", "zfp"]
    import h5py
    import numpy as np
    u = fields.wave((24, 40, 26))
    corners = list(itertools.product(*(range(0, n, c) for n, c in zip(u.shape, chunk))))
    with h5py.File(path, "w") as f:
        f["all"] = u
        for k, corner in enumerate(corners):
            piece = u[tuple(slice(i, i + c) for i, c in zip(corner, chunk))]
            f[f"chunk{k}"] = np.pad(piece, [(0, c - n) for c, n in zip(chunk, piece.shape)])  # as HDF5 pads it

    def stored(names):
        """Bytes of each peer for the datasets together, each in chunks of `chunk`."""
        r = bench(*(f"{path}:/{n}" for n in names), "--abs", "0.05", "--efforts", "0", "--peers", *peers, "--repeat", "1",
                  "--csv", out, "--chunk", "x".join(map(str, chunk)))
        assert r.returncode == 0, r.stdout + r.stderr
        rows = [row for row in csv.DictReader(open(out)) if row["codec"] in peers]
        assert len(rows) == len(names) * len(peers)
        assert all(row["status"] == "ok" and float(row["error_over_bound"]) <= 1 for row in rows), r.stdout
        values = lambda row: np.prod([int(n) for n in row["shape"].split("x")])  # noqa: E731
        return {p: sum(values(row) * float(row["bits_per_value"]) / 8 for row in rows if row["codec"] == p) for p in peers}

    together, alone = stored(["all"]), stored([f"chunk{k}" for k in range(len(corners))])
    for peer in peers:
        assert together[peer] == pytest.approx(alone[peer], rel=1e-3), (peer, together, alone)


def test_a_peer_that_does_not_answer_is_a_row(tmp_path):
    """SPERR crashes on rank 1; the others go on."""
    path, out = tmp_path / "line.h5", tmp_path / "out.csv"
    import h5py
    with h5py.File(path, "w") as f:
        f["x"] = fields.wave((5000,))
    r = bench(f"{path}:/x", "--rel", "1e-3", "--efforts", "5", "--peers", "sperr", "zfp", "--repeat", "1",
              "--timeout", "60", "--csv", out)
    assert r.returncode == 0, r.stdout + r.stderr
    status = {row["codec"]: row["status"] for row in csv.DictReader(open(out))}
    assert status["h5neural-5"] == status["zfp"] == "ok" and status["sperr"] in ("crash", "error", "hang")


@pytest.mark.parametrize("arguments, named", [
    (["nowhere.h5:/x"], "nowhere.h5"), (["nowhere.h5"], "FILE:/dataset"), ([f"{FIELD}:/nothing"], "nothing")])
def test_misuse_is_named(arguments, named):
    r = bench(*arguments)
    assert r.returncode == 2 and named in r.stderr
