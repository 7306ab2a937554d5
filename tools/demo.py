#!/usr/bin/env python3
"""The table that ends tools/demo: real fields written by Debian's h5repack with our plugin and read back by h5py.

    build/venv/bin/python tools/demo.py [--rel 1e-3]

For each field of h5tests/fields: an absolute bound of two decimal digits near rel * range, the ratio, the largest
error over the bound, and the best of SZ3, SPERR and ZFP (hdf5plugin) at the same bound on the same chunk. Exits 1 when
a bound is broken, a NaN, an Inf or a fill value changed, or a chunk was left uncompressed.
"""
import argparse
import concurrent.futures
import math
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measuring import cells, engine, fields  # noqa: E402

PEER_TIMEOUT = 15  # seconds; the fields are small, so a peer that takes longer hangs
FAILED = {"crash": "crashes", "hang": "hangs", "violated": "breaks the bound", "error": "fails"}


def typable(bound):
    """(mantissa, decimal places) of `bound` cut to two digits, the form one can type in h5repack's UD list."""
    places = max(0, 1 - math.floor(math.log10(bound)))
    return max(1, math.floor(bound * 10**places)), places


def repack(path, name, shape, mantissa, places, out):
    """Debian's h5repack: our filter, one chunk, absolute bound mantissa * 10^-places. Returns the command line."""
    command = ["h5repack", "-l", f"{name}:CHUNK=" + "x".join(map(str, shape)),
               "-f", f"{name}:UD={cells.filter_id()},0,3,{engine.ABS},{mantissa},{places}", path, out]
    r = subprocess.run(command, capture_output=True, text=True, timeout=120,
                       env=dict(os.environ, HDF5_PLUGIN_PATH=cells.plugin_path()))
    if r.returncode:
        sys.exit(f"demo: {' '.join(command)} failed:\n{r.stderr}")
    return command


def ours(path, name, mantissa, places, folder):
    """Writes with h5repack, reads with h5py in this process. Returns the columns that are ours."""
    import h5py
    a, fill = fields.load(path, name)
    out = os.path.join(folder, os.path.basename(path))
    command = repack(path, name, a.shape, mantissa, places, out)
    with h5py.File(out) as f:
        d = f[name]
        filtered = d.id.get_create_plist().get_filter_by_id(cells.filter_id()) is not None
        stored, b = d.id.get_storage_size(), d[...]
    bound = mantissa / 10**places
    got = fields.compare(a, b, fill)
    wrong = []
    if not filtered:
        wrong.append("h5repack left it uncompressed")
    if got["max_err"] > bound:
        wrong.append("the bound is broken")
    if got["bad_specials"]:
        wrong.append(f"{got['bad_specials']} specials changed")
    return dict(command=command, bound=bound, ratio=a.nbytes / stored, over=got["max_err"] / bound, wrong=wrong,
                specials=got["specials"], shape="x".join(map(str, a.shape)), dtype=str(a.dtype))


def peers(path, name, bound):
    """(text, ratio): the best peer that keeps the bound, else what each of them did."""
    rows = {c: cells.run(path, name, c, "abs", bound, PEER_TIMEOUT) for c in cells.PEERS}
    good = {c: r["ratio"] for c, r in rows.items() if r["status"] == "ok"}
    if good:
        best = max(good, key=good.get)
        return f"{good[best]:.1f} ({best.upper()})", good[best]
    return "none: " + ", ".join(f"{c.upper()} {FAILED[r['status']]}" for c, r in rows.items()), None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rel", type=float, default=1e-3, help="bound over the field's range without sentinels")
    args = p.parse_args()
    if not shutil.which("h5repack"):
        sys.exit("demo: no h5repack; install hdf5-tools")
    os.environ["HDF5_PLUGIN_PATH"] = cells.plugin_path()  # before h5py is imported: HDF5 reads it once
    found = fields.list_fields(os.path.join(engine.SOURCE, "h5tests", "fields"))
    rows = []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, name in found:
            lo, hi = fields.value_range(fields.load(path, name)[0])
            mantissa, places = typable(args.rel * (hi - lo))
            rows.append((os.path.basename(path)[:-3], ours(path, name, mantissa, places, folder),
                         pool.submit(peers, path, name, mantissa / 10**places)))
        command = " ".join(rows[0][1]["command"]).replace(folder, "out").replace(engine.SOURCE + os.sep, "")
        print(f"\nFirst command of {len(rows)}, under HDF5_PLUGIN_PATH={cells.plugin_path()}:\n  {command}\n")
        line = "{:24} {:12} {:8} {:>10} {:>8} {:>12} {:>9}   {}"
        print(line.format("field", "shape", "type", "bound", "ratio", "error/bound", "specials", "best of SZ3/SPERR/ZFP"))
        for field, row, peer in rows:
            print(line.format(field, row["shape"], row["dtype"], f"{row['bound']:.2g}", f"{row['ratio']:.1f}",
                              f"{row['over']:.6f}", row["specials"], peer.result()[0]))
    bad = [f"{field}: {', '.join(row['wrong'])}" for field, row, _ in rows if row["wrong"]]
    if bad:
        sys.exit("demo: " + "; ".join(bad))


if __name__ == "__main__":
    main()
