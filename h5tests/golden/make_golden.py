#!/usr/bin/env python3
"""Write the golden payloads of the current payload version: VERSION/NAME.payload, and a line of each in index.tsv.

    build/venv/bin/python h5tests/golden/make_golden.py [--add] [--engine LIBH5NEURAL]

Without --add it refuses to run where this version has payloads already (README.md says when to make them anew); with
it, it writes the cases that are missing and leaves the others alone. Every payload is decoded and held to its bound
before it is written. Needs numpy, xxhash and a built engine.
"""
import argparse
import csv
import hashlib
import os
import sys

import numpy as np
import xxhash

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools"))
sys.path.insert(0, os.path.join(HERE, "..", "fields"))
import two_puncture  # noqa: E402
from measuring import engine, fields, peers  # noqa: E402

COLUMNS = ["file", "kind", "type", "big_endian", "dims", "mode", "model", "specials", "raw_bytes", "xxh64"]
FILL = -9999.0
SEEDS = os.path.join(HERE, "..", "fuzz", "seeds", "weights")


def waves(shape, dtype="<f4", noise=0.002, offset=0.5):
    """A smooth field of a few waves with a little noise, of any rank."""
    a = np.full(shape, offset)
    for axis, n in enumerate(shape):
        x = np.arange(n).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        a = a + np.sin(2 * np.pi * x * (1.3 + 0.4 * axis) / max(n, 2) + axis)
    return (a + noise * np.random.default_rng(7).standard_normal(shape)).astype(dtype)


def without_noise(shape, dtype="<f4"):
    """What the transform is for."""
    return waves(shape, dtype, noise=0)


def with_a_hole(a):
    """`a` with a box of fill values and one NaN."""
    a = a.copy()
    a[1:4, 5:9, 2] = FILL
    a[9, 9, 9] = np.nan
    return a


def rough_places(dtype):
    """Smooth, with a few patches of noise."""
    a = without_noise((3, 37, 43)).astype("f8")
    a[:, 5:12, 9:20] += np.random.default_rng(9).normal(0, 0.2, (3, 7, 11))
    return a.astype(dtype)


def stack_of_maps(dtype):
    """The same rough map again and again, under a little noise."""
    rng = np.random.default_rng(3)
    return (rng.normal(0, 10, (1, 20, 24)) + rng.normal(0, 0.02, (12, 20, 24))).astype(dtype)


def with_specials(a, fill=None):
    """`a` with NaN of two payloads, both infinities, -0, the smallest subnormal, and a patch of fill values."""
    a = a.copy()
    size = a.dtype.itemsize
    flat = a.reshape(-1)
    quiet = 0x7FC00000 if size == 4 else 0x7FF8000000000000
    odd = (0xFFC01234 if size == 4 else 0xFFF8000000001234)
    special = np.array([quiet, odd], f"u{size}").view(f"f{size}")
    flat[3], flat[50], flat[51] = special[0], special[1], special[1]
    flat[77], flat[78], flat[100] = np.inf, -np.inf, -0.0
    flat[101] = np.nextafter(flat.dtype.type(0), flat.dtype.type(1))
    if fill is not None:
        flat[200:260] = fill
    return a


def negative_and_zero(shape, dtype):
    """Values over ten decades with both signs and zeros, for the pointwise relative bound."""
    a = waves(shape, "<f8")
    a = np.sign(a) * 10.0 ** (3 * a)
    a.reshape(-1)[::17] = 0
    return a.astype(dtype)


def repeats(dtype):
    """Layers: patches of a few levels in rows that come again and again in no order, under a little noise."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.integers(0, 30, (6, 20)), 5, axis=1)[rng.integers(0, 6, 64)]
    return (rows + rng.uniform(-0.01, 0.01, rows.shape)).astype(dtype)


def maps(dtype):
    """Forty maps about a rough mean; what a point makes of its neighbours differs from place to place."""
    rng = np.random.default_rng(12)
    coarse = np.repeat(np.repeat(rng.normal(size=(40, 7, 7)), 3, axis=1), 3, axis=2)[:, :20, :21]
    share = rng.uniform(0.2, 1.8, (1, 20, 21))
    return (rng.normal(0, 20, (1, 20, 21)) + share * coarse).astype(dtype)


def globe(dtype):
    """A wave along the last axis whose first point follows the last one, under a little noise."""
    x, y = np.arange(64), np.arange(33)[:, None]
    noise = np.random.default_rng(13).normal(0, 0.01, (33, 64))
    return (np.sin(x * np.pi / 16 + y / 7) * np.cos(y / 11) + noise).astype(dtype)


def two_punctures():
    """A field of the kind that the shipped models were trained on, of a draw that they were not."""
    return two_puncture.fields(two_puncture.draw(np.random.default_rng(5), "test"), 32, 12.0, ["U_CHI"])["U_CHI"]


def cells():
    """A value for each cell of 2^3 points that nothing around it tells, under a little noise."""
    rng = np.random.default_rng(8)
    a = rng.normal(0, 1, (7, 9, 10))
    for axis in range(3):
        a = np.repeat(a, 2, axis=axis)
    return (a[:13, :18, :19] + rng.normal(0, 0.01, (13, 18, 19))).astype("<f4")


def moving(frames=9, shape=(21, 26)):
    """Frames of patches that grow and fade, each at its own rate."""
    rng = np.random.default_rng(9)
    t = np.arange(frames).reshape([-1] + [1] * len(shape))
    at = np.indices(shape)[:, None]
    a = np.zeros((frames, *shape))
    for _ in range(12):
        middle = rng.uniform(0, shape).reshape([-1] + [1] * a.ndim)
        wide, size, rate = rng.uniform(2, 4), rng.normal(), rng.uniform(-0.2, 0.2)
        a += size * (1 + rate * t + 0.02 * t * t) * np.exp(-((at - middle) ** 2).sum(0) / wide**2)
    return (a + rng.normal(0, 0.003, a.shape)).astype("<f4")


def swinging(frames=12, shape=(21, 26)):
    """Points that swing, each by itself, under the push of noise."""
    rng = np.random.default_rng(14)
    a = rng.normal(0, 1, (frames + 8, *shape))
    for t in range(2, len(a)):
        a[t] = 1.6 * a[t - 1] - 0.76 * a[t - 2] + 0.3 * a[t]
    return a[8:].astype("<f4")


def series(of, frames=8, shape=(21, 26)):
    """Frames under a little noise, of values for each cell of 2^2 points that nothing around them tells: drawn anew for each
    frame, displaced, changed a little in each, or on a straight line from each third frame to the next."""
    rng = np.random.default_rng(21)
    grid = [(n + 1) // 2 for n in shape]
    drawn = rng.normal(0, 1, (frames, *grid))
    t = np.arange(frames).reshape(-1, 1, 1)
    if of == "changed":
        drawn = np.cumsum(drawn * np.where(t > 0, 0.3, 1), axis=0)
    elif of == "thirds":
        a = t[:, 0, 0] // 3 * 3
        drawn = drawn[a] + (drawn[np.minimum(a + 3, frames - 1)] - drawn[a]) * (t - t // 3 * 3) / 3
    elif of == "displaced":
        drawn = drawn[:1].repeat(frames, axis=0)
    a = drawn.repeat(2, axis=1).repeat(2, axis=2)
    if of == "displaced":
        a = np.stack([np.roll(frame, (t, -2 * t), axis=(0, 1)) for t, frame in enumerate(a)])
    a = a[:, :shape[0], :shape[1]]
    noise = 0.03 if of == "displaced" else 0.01  # else its values come again, and zstd finds them
    return (a + rng.normal(0, noise, a.shape)).astype("<f4")


def periodic(of, frames=8, shape=(24, 32)):
    """Like `series`, on a domain without ends, whose border is no rougher than the inside: displaced, on straight lines, or
    spread over the cells around as the seeds' vae decodes them."""
    rng = np.random.default_rng(22)
    drawn = rng.normal(0, 1, (frames, *(n // 2 for n in shape)))
    t = np.arange(frames)
    if of == "displaced":
        a = drawn[0].repeat(2, axis=0).repeat(2, axis=1)
        a = np.stack([np.roll(a, (k, -3 * k), axis=(0, 1)) for k in t])
        return (a + rng.normal(0, 0.03, a.shape)).astype("<f4")
    drawn[:, -1], drawn[:, :, -1] = drawn[:, 0], drawn[:, :, 0]
    if of == "thirds":
        share = (t % 3 / 3).reshape(-1, 1, 1)
        drawn = drawn[t // 3] * (1 - share) + drawn[t // 3 + 1] * share
    else:
        drawn = drawn[t // 2]
        drawn = (55 * drawn + sum(np.roll(drawn, (i, j), axis=(1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1))) / 64
    a = drawn.repeat(2, axis=1).repeat(2, axis=2)
    return (a + rng.normal(0, 0.01, a.shape)).astype("<f4")


def larger_neighbours(shape, share=1):
    """Random walks along the last axis that take this share of their steps; every second value is the larger one of the two
    beside it, under a little noise."""
    rng, n = np.random.default_rng(5), shape[-1]
    steps = rng.normal(0, 1, (*shape[:-1], n // 2 + 1))
    even = np.cumsum(steps * (rng.random(steps.shape) < share), axis=-1)
    a = np.empty(shape)
    a[..., ::2] = even[..., :(n + 1) // 2]
    a[..., 1::2] = np.maximum(even[..., :n // 2], even[..., 1:])
    return a + rng.normal(0, 0.002, shape)


def cases():
    """(name, array, mode, bound, fill), and the name of shipped weights where the model is not left open."""
    rng = np.random.default_rng(11)
    noise = rng.integers(0, 2**32, 300, "u4").astype("<u4")
    noise[(noise & 0x7F800000) == 0x7F800000] = 1  # every bit random, no NaN or Inf
    yield "raw_f32", noise.view("<f4"), "lossless", 0, None
    for name, dtype in (("f32", "<f4"), ("f64", "<f8"), ("f32be", ">f4"), ("f64be", ">f8")):
        smooth = waves((9, 10, 11), dtype)
        yield f"lossless_{name}", np.round(waves((16, 20)) * 64).astype(dtype) / np.array(8, dtype), "lossless", 0, None
        yield f"constant_{name}", np.full((40, 30), 273.15, dtype), "abs", 1e-3, None
        yield f"abs_{name}", smooth, "abs", 1e-2, None
        yield f"abs_tight_{name}", smooth, "abs", 1e-5, None
        yield f"repeats_{name}", repeats(dtype), "abs", 0.1, None
        yield f"rel_{name}", smooth, "rel", 1e-3, None
        yield f"ratio_{name}", negative_and_zero((9, 10, 11), dtype), "ratio", 1e-2, None
        yield f"specials_{name}", with_specials(smooth), "abs", 1e-2, None
        yield f"specials_fill_{name}", with_specials(smooth, FILL), "rel", 1e-2, FILL
        yield f"specials_lossless_{name}", with_specials(smooth), "lossless", 0, None
    for rank, shape in enumerate([(500,), (23, 31), (7, 9, 11), (4, 5, 6, 7), (3, 4, 3, 5, 4), (2, 3, 4, 2, 5, 3),
                                  (2, 3, 2, 3, 2, 4, 2), (2, 3, 2, 2, 3, 2, 4, 2)], 1):
        yield f"rank{rank}", waves(shape), "abs", 3e-3, None
    yield "maps_f32", maps("<f4"), "abs", 0.2, None
    yield "maps_specials_f64be", with_specials(maps(">f8")), "rel", 2e-3, None
    yield "globe_f32", globe("<f4"), "abs", 0.03, None
    yield "all_nan", np.full((30, 20), np.nan, "<f4"), "abs", 1e-3, None
    yield "one_value", np.array([3.25], "<f8"), "abs", 1e-3, None
    yield "sparse", np.where(waves((40, 50)) > 2.2, waves((40, 50)), 0).astype("<f4"), "abs", 1e-3, None
    yield "two_punctures", two_punctures(), "rel", 1e-2, None
    yield "two_punctures_tight", two_punctures(), "abs", 1e-4, None
    yield "linear_f32", two_punctures(), "rel", 1e-2, None, "linear-chunk32-chi"
    yield "blocks_f32", two_punctures(), "rel", 1e-2, None, "swae-blocks9-chi"
    yield "blocks_cut_f64be", two_punctures()[:20, :17, :23].astype(">f8"), "abs", 2e-3, None, "swae-blocks9-chi"
    yield "block5_f32", without_noise((17, 19, 21), "<f4"), "rel", 1e-3, None, "swae-block5-chi"
    yield "three_branch_f32", cells(), "abs", 0.05, None, "three-branch"
    yield "three_branch_f64be", with_specials(cells().astype(">f8")), "rel", 1e-2, None, "three-branch"
    yield "three_branch_slices", np.stack([cells(), -cells()]), "abs", 0.1, None, "three-branch"
    for name, of in (("vae", "drawn"), ("contextual", "displaced"), ("dcae", "changed"), ("diffusion", "thirds")):
        yield f"{name}_f32", series(of), "abs", 0.05, None, name
        bound = ("abs", 0.04) if name == "contextual" else ("rel", 2e-2)
        yield f"{name}_f64be", with_specials(series(of, 7, (23, 30)).astype(">f8")), *bound, None, name
        if name != "contextual":  # a transform does as well without
            yield f"{name}_nrmse", series(of), "nrmse", 1e-2, None, name
    yield "vae_frame", series("drawn", 1, (30, 40)), "abs", 0.05, None, "vae"
    for name, of in (("vae", "spread"), ("contextual", "displaced"), ("diffusion", "thirds")):
        yield f"{name}_periodic", periodic(of), "abs", 0.05, None, name
    yield "contextual-around_periodic", periodic("displaced", 7, (32, 24)), "abs", 0.05, None, "contextual-around"
    yield "frames_f32", moving(), "abs", 0.02, None, "frames"
    yield "frames_f64be", with_specials(moving()[:6, :14].astype(">f8")), "rel", 1e-3, None, "frames"
    yield "frames_solid_f32", moving(shape=(7, 9, 10)), "rel", 1e-2, None, "frames-solid"
    yield "frames_solid_f64be", with_specials(moving(shape=(7, 9, 10)).astype(">f8")), "abs", 0.1, None, "frames-solid"
    yield "frames_nrmse_f32", swinging(), "nrmse", 1e-2, None, "frames"
    yield "frames_psnr_f64be", with_specials(swinging().astype(">f8")), "psnr", 60, None, "frames"
    yield "network_f32", larger_neighbours((9, 300)).astype("<f4"), "abs", 0.02, None, "corrections"
    yield "network_f64be", with_specials(larger_neighbours((2000,)).astype(">f8"), FILL), "abs", 0.01, FILL, "corrections"
    pattern = np.random.default_rng(3).normal(0, 200, (1, 400))
    yield "network_reference", (pattern + larger_neighbours((30, 400), 0.3)).astype("<f4"), "abs", 0.05, None, "corrections"
    yield "linear_f64be", two_punctures().astype(">f8"), "abs", 2e-3, None, "linear-chunk32-chi"
    for name, dtype in (("f32", "<f4"), ("f64", "<f8"), ("f32be", ">f4"), ("f64be", ">f8")):
        smooth = without_noise((14, 15, 16), dtype)
        yield f"transform_abs_{name}", smooth, "abs", 1e-2, None
        yield f"transform_rel_{name}", smooth, "rel", 1e-3, None
        yield f"transform_ratio_{name}", np.exp(smooth), "ratio", 1e-2, None
        yield f"transform_psnr_{name}", waves((14, 15, 16), dtype), "psnr", 75, None
        yield f"transform_nrmse_{name}", waves((14, 15, 16), dtype), "nrmse", 1e-3, None
        yield f"transform_specials_{name}", with_a_hole(without_noise((18, 19, 20), dtype)), "abs", 1e-2, FILL
        yield f"transform_nrmse_specials_{name}", with_specials(smooth), "nrmse", 1e-3, None
    for rank, shape in enumerate([(3000,), (60, 70), (17, 18, 19), (9, 10, 11, 12), (5, 6, 7, 8, 4)], 1):
        yield f"transform_rank{rank}", without_noise(shape), "abs", 1e-2, None
        yield f"transform_nrmse_rank{rank}", without_noise(shape), "nrmse", 1e-3, None
    for name, dtype in (("f32", "<f4"), ("f64be", ">f8")):
        yield f"transform_block_{name}", rough_places(dtype), "block-nrmse", 1e-2, None
        yield f"transform_block_specials_{name}", with_specials(rough_places(dtype), FILL), "block-nrmse", 3e-3, FILL
    yield "transform_block_line", without_noise((3000,)), "block-nrmse", 1e-3, None
    yield "transform_stack", stack_of_maps("<f4"), "abs", 0.1, None
    yield "transform_nrmse_stack", stack_of_maps("<f8"), "nrmse", 1e-3, None


def weights(name):
    """A shipped weights file, or one of the fuzzer's seeds."""
    for folder in (os.path.join(HERE, "..", "..", "weights"), SEEDS):
        if os.path.exists(path := os.path.join(folder, name + ".safetensors")):
            return path
    sys.exit(f"make_golden: there are no weights {name}")


def hash_of(name):
    """What payloads call weights by."""
    with open(weights(name), "rb") as f:
        return int.from_bytes(hashlib.sha256(f.read()).digest()[:8], "big")


def holds(a, b, mode, bound, fill, info):
    """Whether `b` is `a` within its bound, specials bit for bit."""
    got = fields.compare(a, b, fill)
    if got["bad_specials"]:
        return False
    if mode == "lossless":
        return got["exact"]
    if mode == "ratio":
        finite = np.isfinite(a)
        x, y = a[finite].astype("f8"), b[finite].astype("f8")
        return bool((np.abs(x - y) <= bound * np.abs(x)).all())
    if mode in ("psnr", "nrmse"):
        regular = np.isfinite(a) if fill is None else np.isfinite(a) & (a != fill)
        x, y = a[regular].astype("f8"), b[regular].astype("f8")
        return np.sqrt(np.mean((x - y) ** 2)) <= (10 ** (-bound / 20) if mode == "psnr" else bound) * np.ptp(x)
    if mode == "block-nrmse":
        regular = np.isfinite(a) if fill is None else np.isfinite(a) & (a != fill)
        x = a[regular].astype("f8")
        return peers.worst_patch(np.where(regular, a, np.nan), b, x.min(), x.max()) <= bound * np.ptp(x)
    limit = bound if mode == "abs" else min(info.abs_bound, bound * fields.finite_range(a))
    return got["max_err"] <= limit


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--add", action="store_true", help="write the cases that are missing")
    p.add_argument("--engine")
    args = p.parse_args()
    os.environ["H5NEURAL_WEIGHTS_PATH"] = SEEDS
    lib = engine.Engine(args.engine)
    version = lib.inspect(lib.encode(np.zeros(8, "<f4"), engine.LOSSLESS)).version
    folder = os.path.join(HERE, f"v{version}")
    os.makedirs(folder, exist_ok=True)
    index = os.path.join(folder, "index.tsv")
    known = set()
    if os.path.exists(index):
        if not args.add:
            sys.exit(f"make_golden: {index} exists; a golden payload is never changed (README.md). --add adds.")
        with open(index, newline="") as f:
            known = {row["file"] for row in csv.DictReader(f, delimiter="\t")}
    with open(index, "a", newline="") as f:
        w = csv.DictWriter(f, COLUMNS, delimiter="\t", lineterminator="\n")
        if not known:
            w.writeheader()
        for name, a, mode, bound, fill, *named in cases():
            if name + ".payload" in known:
                continue
            payload = lib.encode(a, engine.MODES[mode], bound, fill, *map(hash_of, named))
            info = lib.inspect(payload)
            if named and info.model != hash_of(*named):
                sys.exit(f"make_golden: {name} is coded without {named[0]}")
            decoded = lib.decode(payload, a.nbytes)
            b = np.frombuffer(decoded, a.dtype).reshape(a.shape)
            if tuple(info.dims[:info.rank]) != a.shape or not holds(a, b, mode, bound, fill, info):
                sys.exit(f"make_golden: {name} does not come back within its bound; nothing written for it")
            with open(os.path.join(folder, name + ".payload"), "wb") as out:
                out.write(payload)
            w.writerow(dict(file=name + ".payload", kind=engine.KINDS[info.kind], type=f"f{8 * a.dtype.itemsize}",
                            big_endian=info.big_endian, dims="x".join(map(str, a.shape)), mode=mode,
                            model=f"{info.model:016x}", specials=info.specials, raw_bytes=len(decoded),
                            xxh64=xxhash.xxh64_hexdigest(decoded)))
            print(f"{name:24} {engine.KINDS[info.kind]:9} {len(payload):6} bytes of {a.nbytes}"
                  f"{'  model ' + info.model_name.decode() if info.model else ''}")


if __name__ == "__main__":
    main()
