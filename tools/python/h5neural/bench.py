"""h5neural bench: our efforts beside SZ3, SPERR, ZFP and Blosc2 on datasets of a user's files, in one run.

    h5neural bench FILE:/dataset ... [--rel 1e-2 1e-3 1e-4 | --abs B ... | --nrmse B ...] [--efforts 0 5 9]
                   [--peers sz3 sperr zfp blosc2] [--chunk 64x64x64] [--max-values N] [--repeat 3]
                   [--csv OUT.csv] [--png OUT.png] [--timeout SECONDS] [--no-equal-psnr]

Each cell (dataset, codec, bound) is written to a file in memory and read back, in a process of its own: peers that
crash or hang give a row. Columns: ratio (raw bytes / stored), bits a value, the largest error over the bound, PSNR
(over the range without sentinels), writing and reading MB/s (best of --repeat, one thread), status (ok, violated, crash,
hang, error). --rel bounds are absolute bounds relative to the dataset's range, the same for every codec. With --nrmse we
run in our nrmse mode, SPERR in its PSNR mode and the others with an absolute bound, searched for that error.

"at ours": our ratio over the peer's at the PSNR that our effort 5 (else the first) reached. The peer's setting is
searched until its PSNR lies within 0.05 dB of ours (ZFP's steps are 6 dB: the smallest that is not lower), the better of
SPERR's PSNR mode and its absolute bound; the CSV says which setting and which PSNR. --no-equal-psnr leaves it out, which
saves some ten runs of each peer. HPEZ is no filter of hdf5plugin and is not measured. The plot shows bits a value
against PSNR.

Needs h5py and hdf5plugin, and matplotlib for --png: pip install hdf5plugin matplotlib
"""
import argparse
import csv
import math
import os
import sys

COLUMNS = ["dataset", "shape", "dtype", "mode", "bound", "codec", "status", "ratio", "bits_per_value", "error_over_bound",
           "psnr", "write_mb_s", "read_mb_s", "at_our_psnr", "setting_mode", "setting", "setting_psnr"]
PEERS = ("sz3", "sperr", "zfp", "blosc2")


class BenchError(Exception):
    """What the user can mend: said in one line."""


def load_modules():
    """numpy, h5py, our package and the peers; a missing one is named with its remedy."""
    global np, h5py, h5neural, peers
    try:
        import numpy as np  # noqa: F811
        import h5neural
        import h5py
        import hdf5plugin  # noqa: F401
        from h5neural import _peers as peers
    except ImportError as e:
        raise BenchError(f"needs the Python package {e.name}; install it with: {sys.executable} -m pip install "
                         "h5py hdf5plugin matplotlib") from e


def read_target(target, most):
    """(name, values) of FILE:/dataset; of a larger one the box in the middle that has `most` values or fewer."""
    path, _, name = target.rpartition(":")
    if not path:
        raise BenchError(f"{target}: name a dataset as FILE:/dataset")
    try:
        with h5py.File(path) as f:
            d = f[name]
            if not isinstance(d, h5py.Dataset) or d.dtype.kind != "f" or d.dtype.itemsize not in (4, 8):
                raise BenchError(f"{target}: not a dataset of float32 or float64")
            box = list(d.shape)
            while math.prod(box) > most:
                k = box.index(max(box))
                box[k] = (box[k] + 1) // 2
            return target, d[tuple(slice((n - b) // 2, (n - b) // 2 + b) for n, b in zip(d.shape, box))]
    except (OSError, KeyError) as e:
        raise BenchError(f"{target}: {e}") from e


def measure(a, codec, mode, bound, low, high, chunks, repeat):
    """One cell as a dict; runs in a process of its own. `bound` is absolute, or an NRMSE in the mode nrmse."""
    reverse = codec == "sperr"
    if codec.startswith("h5neural"):
        arguments = dict(**h5neural.Neural(**{mode: bound}, effort=int(codec.rpartition("-")[2])))
    elif mode == "abs" or codec == "blosc2":
        arguments = peers.options(codec, "abs", bound)
    else:
        way, wanted = peers.WAYS[codec][0], -20 * math.log10(bound)
        setting, *_ = peers.search(a, codec, way, wanted, low, high, below=-1e-6, above=0.08, chunks=chunks)
        arguments = peers.options(codec, way, setting)
    return judge(a, *peers.through_hdf5(a, arguments, reverse, chunks, repeat), mode, bound, low, high)


def at_psnr(a, codec, mine, low, high, chunks):
    """A peer at the PSNR of our row `mine`, the best of its ways; runs in a process of its own."""
    found = []
    for way in peers.WAYS[codec]:
        try:
            setting, stored, reached = peers.search(a, codec, way, mine["psnr"], low, high, chunks=chunks)
        except RuntimeError:  # this way does not get there
            continue
        found.append((stored, dict(at_our_psnr=mine["ratio"] * stored / a.nbytes, setting_mode=way, setting=setting,
                                   setting_psnr=reached)))
    return min(found, key=lambda f: f[0])[1] if found else {}


def judge(a, b, stored, write, read, mode, bound, low, high):
    finite = np.isfinite(a)
    error = np.abs(b[finite].astype("f8") - a[finite].astype("f8"))
    error = np.where(np.isfinite(error), error, np.inf)
    reached = float(error.max(initial=0)) if mode == "abs" else peers.rmse(a, b, low, high) / (high - low)
    same = bool(np.array_equal(a[~finite], b[~finite], equal_nan=True))
    return dict(status="ok" if same and reached <= bound else "violated", ratio=a.nbytes / stored,
                bits_per_value=8 * stored / a.size, error_over_bound=reached / bound,
                psnr=peers.psnr(a, b, low, high),
                write_mb_s=a.nbytes / 1e6 / write, read_mb_s=a.nbytes / 1e6 / read)


def run(args):
    """All rows, printed as they come."""
    rows = []
    mode = "nrmse" if args.nrmse else "abs"
    for target in args.targets:
        name, a = read_target(target, args.max_values)
        low, high = peers.value_range(a)
        if not high > low:
            raise BenchError(f"{target}: all values are equal; there is nothing to compare")
        chunks = tuple(int(n) for n in args.chunk.split("x")) if args.chunk else a.shape
        if len(chunks) != a.ndim:
            raise BenchError(f"--chunk {args.chunk}: {target} has {a.ndim} axes")
        chunks = tuple(min(c, n) for c, n in zip(chunks, a.shape))
        print(f"{name}  {'x'.join(map(str, a.shape))} {a.dtype}, range {high - low:.6g}, chunks "
              f"{'x'.join(map(str, chunks))}")
        print(f"  {'bound':>9} {'codec':12} {'status':9} {'ratio':>9} {'bit/value':>9} {'err/bound':>9} {'PSNR':>7} "
              f"{'write':>7} {'read MB/s':>9} {'at ours':>8}")
        for given in args.nrmse or args.abs or args.rel:
            bound = given * (high - low) if mode == "abs" and not args.abs else given
            ours, mine = f"h5neural-{5 if 5 in args.efforts else args.efforts[0]}", None
            for codec in [f"h5neural-{e}" for e in args.efforts] + args.peers:
                if codec == "blosc2" and any(r["codec"] == codec and r["dataset"] == name for r in rows):
                    continue  # lossless: once
                status, result = peers.isolated(measure, a, codec, mode, bound, low, high, chunks, args.repeat,
                                                timeout=args.timeout)
                row = dict(dataset=name, shape="x".join(map(str, a.shape)), dtype=str(a.dtype), mode=mode, bound=given,
                           codec=codec)
                row.update(result if status == "ok" else dict(status=status))
                if codec == ours and status == "ok" and math.isfinite(row["psnr"]):
                    mine = row
                if codec in peers.WAYS and status == "ok" and mine and not args.no_equal_psnr:
                    status, found = peers.isolated(at_psnr, a, codec, mine, low, high, chunks, timeout=args.timeout)
                    row.update(found if status == "ok" else {})
                rows.append(row)
                print_row(row)
    return rows


def print_row(r):
    line = f"  {r['bound']:9g} {r['codec']:12} {r['status']:9}"
    if "ratio" in r:
        line += (f" {r['ratio']:9.2f} {r['bits_per_value']:9.4f} {r['error_over_bound']:9.4f} {r['psnr']:7.2f} "
                 f"{r['write_mb_s']:7.1f} {r['read_mb_s']:9.1f}")
    if "at_our_psnr" in r:
        line += f" {r['at_our_psnr']:8.3f}"
    print(line, flush=True)


def summary(rows):
    mean = lambda v: math.exp(sum(map(math.log, v)) / len(v))  # noqa: E731
    for codec in dict.fromkeys(r["codec"] for r in rows):
        gains = [r["at_our_psnr"] for r in rows if r["codec"] == codec and "at_our_psnr" in r]
        if gains:
            print(f"at our PSNR: ours is {mean(gains):.3f} times smaller than {codec} ({len(gains)} cells)")
    bad = [r for r in rows if r["status"] != "ok"]
    ours = [r for r in bad if r["codec"].startswith("h5neural")]
    print(f"{len(rows)} cells, not ok: {len(bad)} (of ours {len(ours)})")
    return 1 if ours else 0


def plot(rows, path):
    try:
        import matplotlib
    except ImportError as e:
        raise BenchError(f"--png needs matplotlib; install it with: {sys.executable} -m pip install matplotlib") from e
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    datasets = list(dict.fromkeys(r["dataset"] for r in rows))
    figure, axes = plt.subplots(1, len(datasets), figsize=(6.5 * len(datasets), 5), squeeze=False)
    for ax, dataset in zip(axes[0], datasets):
        for codec in dict.fromkeys(r["codec"] for r in rows):
            cells = sorted((r["bits_per_value"], r["psnr"]) for r in rows
                           if (r["dataset"], r["codec"], r["status"]) == (dataset, codec, "ok")
                           and math.isfinite(r["psnr"]))
            if cells:
                ax.plot(*zip(*cells), marker="o", label=codec, linewidth=2 if codec.startswith("h5neural") else 1)
        ax.set(xscale="log", xlabel="bits a value", ylabel="PSNR (dB)", title=dataset)
        ax.grid(alpha=0.3)
        ax.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments=None):
    p = argparse.ArgumentParser(prog="h5neural bench", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("targets", nargs="+", metavar="FILE:/dataset")
    group = p.add_mutually_exclusive_group()
    group.add_argument("--rel", nargs="+", type=float, default=[1e-2, 1e-3, 1e-4])
    group.add_argument("--abs", nargs="+", type=float)
    group.add_argument("--nrmse", nargs="+", type=float)
    p.add_argument("--efforts", nargs="+", type=int, default=[0, 5, 9], choices=range(10))
    p.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    p.add_argument("--chunk", help="extents, as 64x64x64; default: the whole dataset")
    p.add_argument("--max-values", type=int, default=16_000_000, help="larger datasets: a box from the middle")
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--csv")
    p.add_argument("--png")
    p.add_argument("--timeout", type=float, default=300)
    p.add_argument("--no-equal-psnr", action="store_true", help="no search of the peers' settings at our PSNR")
    args = p.parse_args(arguments)
    try:
        load_modules()
        rows = run(args)
        if args.csv:
            with open(args.csv, "w", newline="") as f:
                w = csv.DictWriter(f, COLUMNS)
                w.writeheader()
                w.writerows(rows)
        if args.png:
            plot(rows, args.png)
    except BenchError as e:
        print(f"h5neural bench: {e}", file=sys.stderr)
        return 2
    except OSError as e:
        print(f"h5neural bench: {e.filename or ''}: {e.strerror}", file=sys.stderr)
        return 2
    return summary(rows)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
