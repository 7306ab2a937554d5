"""Other HDF5 filters on one array, by hdf5plugin: bytes stored, what came back, seconds, and the setting that gives a PSNR.

SZ3, SPERR, ZFP, Blosc2. HPEZ (QoZ 2) has no HDF5 filter in hdf5plugin and cannot be run here.

SPERR gets the extents of each chunk in reversed order: hdf5plugin 7.1.0 hands them to SPERR the wrong way round
(`stacked`). Filters crash and hang on some fields, so callers run these functions in a process of their own (`isolated`).
"""
import io
import math
import multiprocessing
import os
import time

import h5py
import numpy as np


# A sentinel (a missing value written as a number) is an extreme value that is frequent and far from all others.
SENTINEL_SHARE = 0.005  # of the values left
SENTINEL_GAP = 0.1  # of the range left


def value_range(a):
    """(low, high) of the finite values of `a` without sentinels, as float64; (0, 0) where none is finite."""
    values, counts = np.unique(a[np.isfinite(a)].astype("f8"), return_counts=True)
    if values.size == 0:
        return 0.0, 0.0
    first, last, left = 0, values.size - 1, int(counts.sum())
    while first < last:
        width = values[last] - values[first]
        if (counts[first] > SENTINEL_SHARE * left
                and values[first + 1] - values[first] > SENTINEL_GAP * width):
            left -= counts[first]
            first += 1
        elif (counts[last] > SENTINEL_SHARE * left
              and values[last] - values[last - 1] > SENTINEL_GAP * width):
            left -= counts[last]
            last -= 1
        else:
            break
    return float(values[first]), float(values[last])


def options(codec, mode, bound):
    """h5py arguments of a filter: `mode` abs (an absolute bound) or psnr (dB, SPERR only)."""
    import hdf5plugin as hp
    if codec == "sperr" and mode == "psnr":
        return hp.Sperr(peak_signal_to_noise_ratio=bound)
    if mode == "abs":
        return {"sz3": lambda: hp.SZ3(absolute=bound), "sperr": lambda: hp.Sperr(absolute=bound),
                "zfp": lambda: hp.Zfp(accuracy=bound),
                "blosc2": lambda: hp.Blosc2(cname="zstd", clevel=9, filters=hp.Blosc2.SHUFFLE)}[codec]()
    raise ValueError(f"{codec} has no mode {mode}")


def _tiles(padded, counts, chunks):
    """`padded` as a view [k0, k1, ..., c0, c1, ...]: which chunk, then where in it."""
    rank = len(chunks)
    pairs = [n for pair in zip(counts, chunks) for n in pair]
    return padded.reshape(pairs).transpose([*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)])


def stacked(a, chunks):
    """The chunks of `a`, each its own bytes in C order under reversed extents, one after another along the first axis.

    [c[-1] * number of chunks, c[-2], ..., c[0]]. To reverse the extents of the whole array instead would scramble it as
    soon as it has two chunks. Edge chunks are padded with zeros, as HDF5 does where a dataset names no fill value, so
    the filter sees what it would see in the order of `a`.
    """
    counts = [-(-n // c) for n, c in zip(a.shape, chunks)]
    padded = np.zeros([k * c for k, c in zip(counts, chunks)], a.dtype)
    padded[tuple(map(slice, a.shape))] = a
    turned = chunks[::-1]
    return np.ascontiguousarray(_tiles(padded, counts, chunks)).reshape(math.prod(counts) * turned[0], *turned[1:])


def unstacked(b, shape, chunks):
    """The array of `shape` whose chunks `stacked` laid out as `b`."""
    counts = [-(-n // c) for n, c in zip(shape, chunks)]
    padded = np.empty([k * c for k, c in zip(counts, chunks)], b.dtype)
    _tiles(padded, counts, chunks)[...] = b.reshape(*counts, *chunks)
    return padded[tuple(map(slice, shape))]


def through_hdf5(a, arguments, reverse=False, chunks=None, repeat=1):
    """(array that came back, bytes stored, best writing seconds, best reading seconds) of one dataset in memory.

    `chunks`: extents of a chunk, by default one chunk; `reverse` hands each to the filter under reversed extents.
    """
    chunks = tuple(min(c, n) for c, n in zip(chunks or a.shape, a.shape))
    data, given = (stacked(a, chunks), chunks[::-1]) if reverse else (a, chunks)
    write = read = float("inf")
    for _ in range(repeat):
        file = io.BytesIO()
        t0 = time.perf_counter()
        with h5py.File(file, "w") as f:
            f.create_dataset("d", data=data, chunks=given, **arguments)
        t1 = time.perf_counter()
        with h5py.File(file, "r") as f:
            stored = f["d"].id.get_storage_size()
            t2 = time.perf_counter()
            b = f["d"][...]
            t3 = time.perf_counter()
        write, read = min(write, t1 - t0), min(read, t3 - t2)
    return (unstacked(b, a.shape, chunks) if reverse else b), stored, write, read


def run(a, codec, mode, bound, chunks=None, repeat=1):
    """through_hdf5 for a peer by name."""
    return through_hdf5(a, options(codec, mode, bound), codec == "sperr", chunks, repeat)


def _call(pipe, function, args):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # HDF5 and h5py report a failing filter many times over
    try:
        pipe.send(("ok", function(*args)))
    except Exception as e:  # a filter's refusal is a result, not our failure
        pipe.send(("error", str(e)))


def isolated(function, *args, timeout=120):
    """("ok", function(*args)), or ("error", message), ("crash", ""), ("hang", ""); in a process of its own."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    p = context.Process(target=_call, args=(theirs, function, args))
    p.start()
    theirs.close()
    try:
        if ours.poll(timeout):
            return ours.recv()
        return "hang", ""
    except EOFError:
        return "crash", ""
    finally:
        p.kill()
        p.join()


def rmse(a, b, low, high):
    """Root mean square of a - b over the values of `a` within low .. high, in float64."""
    inside = np.isfinite(a) & (a >= low) & (a <= high)
    d = a[inside].astype("f8") - b[inside].astype("f8")
    return float(np.sqrt(np.mean(d * d))) if d.size else 0.0


def psnr(a, b, low, high):
    """dB over low .. high: inf where no value differs, -inf where a finite value came back as no number."""
    error = rmse(a, b, low, high)
    if not np.isfinite(error):
        return -math.inf
    return 20 * math.log10((high - low) / error) if error > 0 else math.inf


PATCH = 8  # extent of a patch along each of the last two axes


def worst_patch(a, b, low, high):
    """The largest root mean square of a - b in a patch: 8 x 8 points of the last two axes longer than 1, or 64 in a row, of
    the values of `a` within low .. high, in float64."""
    inside = np.isfinite(a) & (a >= low) & (a <= high)
    with np.errstate(all="ignore"):
        squares = np.where(inside, (a.astype("f8") - b.astype("f8")) ** 2, 0)
    shape = [n for n in a.shape if n > 1]
    height, width = (1, PATCH * PATCH) if len(shape) < 2 else (PATCH, PATCH)
    planes = (-1, *([1] * (2 - len(shape[-2:]))), *shape[-2:])

    def sums(v):
        v = v.reshape(planes)
        v = np.add.reduceat(v, np.arange(0, v.shape[1], height), axis=1)
        return np.add.reduceat(v, np.arange(0, v.shape[2], width), axis=2)

    return float(np.sqrt((sums(squares) / np.maximum(sums(inside.astype("f8")), 1)).max()))


def patch_psnr(a, b, low, high):
    """`psnr` of the worst patch."""
    error = worst_patch(a, b, low, high)
    if not np.isfinite(error):
        return -math.inf
    return 20 * math.log10((high - low) / error) if error > 0 else math.inf


# The ways to ask a peer for less or more: an absolute bound, and SPERR's PSNR mode. ZFP's accuracy has steps of 6 dB.
WAYS = {"sz3": ("abs",), "sperr": ("psnr", "abs"), "zfp": ("abs",)}
EQUAL = 0.05  # dB within which two PSNR count as equal
TRIALS = 14
# What SPERR's PSNR mode is asked for: it wants a positive number, and where its 64-bit coefficients cannot hold the
# answer it does not come back.
LEAST_DB, MOST_DB = 1.0, 300.0


class _Trials:
    """What a peer made of the settings tried; `x` is a setting in dB: the PSNR asked for, or -20 log10 of bound / range."""

    def __init__(self, a, codec, mode, low, high, chunks, least, measure):
        self.a, self.codec, self.mode, self.low, self.high, self.chunks = a, codec, mode, low, high, chunks
        self.measure = measure
        self.least, self.finite, self.best = least, np.isfinite(a), None

    def setting(self, x):
        return x if self.mode == "psnr" else (self.high - self.low) * 10 ** (-x / 20)

    def run(self, x):
        """The PSNR at `x`; `best` becomes (bytes, setting, PSNR, x) where it is not below `least` and smaller."""
        if self.mode == "psnr" and x > MOST_DB:
            raise RuntimeError(f"{x:.0f} dB over the range of all values is more than {self.codec} can code")
        b, stored, *_ = run(self.a, self.codec, self.mode, self.setting(x), self.chunks)
        if not np.array_equal(self.a[~self.finite], b[~self.finite], equal_nan=True):
            raise RuntimeError("a NaN or an Inf was changed")
        reached = self.measure(self.a, b, self.low, self.high)
        if reached >= self.least and (self.best is None or stored < self.best[0]):
            self.best = stored, self.setting(x), reached, x
        return reached


def search(a, codec, mode, target, low, high, below=EQUAL, above=EQUAL, chunks=None, measure=psnr):
    """(setting, bytes stored, PSNR reached) of a peer whose PSNR lies within target - below .. target + above, in dB.
    `measure`: what counts as PSNR, as `psnr` or `patch_psnr`.

    The smallest of all tried whose PSNR is not lower: PSNR jumps at some settings (ZFP has steps of 6 dB, SZ3 changes its
    predictor), so looser ones are tried too once the target is met. RuntimeError where none reaches it, or the peer changes
    a NaN or an Inf. A dB of the setting is about a dB of PSNR: steps go by the last slope, and by halves where that leaves
    the bracket.
    """
    trials, aim = _Trials(a, codec, mode, low, high, chunks, target - below, measure), target + (above - below) / 2
    x = aim - 4.8  # errors spread evenly within the bound: RMSE = bound / sqrt(3)
    if mode == "psnr":  # SPERR counts over the range of all values
        x = aim + 20 * math.log10(float(np.ptp(a[trials.finite].astype("f8"))) / (high - low))
    last, less, more, met = None, None, None, False
    for _ in range(TRIALS):
        reached = trials.run(x)
        met = target - below <= reached <= target + above
        if met:
            break
        missing = min(max(aim - reached, -40.0), 40.0)
        less, more = (x, more) if missing > 0 else (less, x)
        if less is not None and more is not None and less >= more:  # not monotone here: go on from this side
            less, more = (x, None) if missing > 0 else (None, x)
        slope = (last[1] - missing) / (x - last[0]) if last else 1.0
        last = x, missing
        x += missing / min(max(slope, 0.25), 4.0)
        if mode == "psnr":
            x = max(x, LEAST_DB)
            if x == last[0]:
                break  # there is no less
        if less is not None and more is not None:
            if more - less < 0.05:
                break  # a jump
            if not less + 0.05 * (more - less) < x < more - 0.05 * (more - less):
                x = (less + more) / 2
    if trials.best is None:
        raise RuntimeError(f"no setting reached {target:.2f} dB")
    x = trials.best[3]
    if codec == "sz3":
        for k in (0.5, 1, 2) if met else np.arange(0.25, 6.25, 0.25):
            trials.run(x - k)
    return trials.best[1], trials.best[0], trials.best[2]
