"""Fields to store, and the check that what comes back keeps what was promised.

Knows the promises (the bound modes) and nothing of how the filter keeps them.
"""
import glob
import itertools
import os

import numpy as np

ID = 41017
LOSSLESS, ABS, REL, RATIO, PSNR, NRMSE, BLOCK_NRMSE = range(7)
_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fields")


def decimal(mode, mantissa, places, *more):
    """cd_values with the bound as mantissa and decimal places."""
    return (mode, mantissa, places, *more)


def ieee(mode, bound, *more):
    """cd_values with the bound as a double."""
    low, high = (int(w) for w in np.array([bound], "<f8").view("<u4"))
    return (mode | 0x100, low, high, *more)


def wave(shape, dtype="<f4", seed=1):
    """A smooth field with some noise, of any rank."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij", sparse=True)
    phase = sum((a + 1.3) * x for a, x in enumerate(axes))
    return (3 * np.sin(phase) + 0.01 * rng.standard_normal(shape)).astype(dtype)


def specials(shape, dtype="<f4", fill=None, seed=2):
    """`wave` with NaNs of several payloads, infinities, both zeros, subnormals, and the fill value, scattered."""
    native = np.dtype(dtype).newbyteorder("=")
    word = np.dtype(f"u{native.itemsize}")
    strange = np.array({
        4: [0x7FC00000, 0xFFC00001, 0x7F812345, 0x7F800000, 0xFF800000, 0x80000000, 0, 1, 0x80000003],
        8: [0x7FF8 << 48, 0xFFF8 << 48 | 5, 0x7FF0 << 48 | 77, 0x7FF0 << 48, 0xFFF0 << 48, 1 << 63, 0, 1, 1 << 63 | 9],
    }[native.itemsize], word)
    if fill is not None:
        strange = np.append(strange, np.array([fill], native).view(word))
    bits = wave(shape, native, seed).view(word).reshape(-1)
    at = np.random.default_rng(seed).choice(bits.size, min(bits.size // 3, 40 * strange.size), replace=False)
    bits[at] = np.resize(strange, at.size)
    order = np.dtype(dtype).byteorder
    return bits.astype(word.newbyteorder(order)).view(dtype).reshape(shape)


def stored_fields():
    """Name to path of the real fields of h5tests/fields."""
    return {os.path.basename(p)[:-3]: p for p in sorted(glob.glob(os.path.join(_FOLDER, "*.h5")))}


def more_fields():
    """Name to path of the files of H5NEURAL_DATA."""
    folder = os.environ.get("H5NEURAL_DATA")
    if not folder:
        return {}
    return {os.path.basename(p)[:-3]: p for p in sorted(glob.glob(os.path.join(folder, "**", "*.h5"), recursive=True))}


def bits_of(values):
    """The IEEE bits as numbers, whatever the byte order."""
    native = np.ascontiguousarray(values)
    unsigned = np.dtype(f"u{native.dtype.itemsize}").newbyteorder(native.dtype.byteorder)
    return native.view(unsigned).astype(unsigned.newbyteorder("="))


def _chunks(shape, chunks):
    starts = [range(0, n, c) for n, c in zip(shape, chunks)]
    for corner in itertools.product(*starts):
        yield tuple(slice(s, s + c) for s, c in zip(corner, chunks))


def check(stored, back, mode, bound=0.0, chunks=None, fill=None):
    """Asserts that `back` keeps the promise made for `stored`. `chunks`: shape, for the bounds that look at a range."""
    assert back.shape == stored.shape and back.dtype.itemsize == stored.dtype.itemsize
    before, after = bits_of(stored), bits_of(back)
    if mode == LOSSLESS:
        wrong = int((before != after).sum())
        assert wrong == 0, f"{wrong} of {before.size} values differ in their bits"
        return
    with np.errstate(invalid="ignore"):  # signalling NaNs
        x, y = stored.astype("f8"), back.astype("f8")
    exact = ~np.isfinite(x) | ((x == 0) & np.signbit(x))
    if fill is not None:
        exact |= before == bits_of(np.asarray(fill, stored.dtype.newbyteorder("=")).reshape(1))[0]
    if mode == RATIO:
        exact |= x == 0
    wrong = int((before != after)[exact].sum())
    assert wrong == 0, f"{wrong} of {int(exact.sum())} special values differ in their bits"
    for where in _chunks(stored.shape, chunks or stored.shape):
        _check_chunk(x[where], y[where], ~exact[where], stored.shape, where, chunks, mode, bound)


def worst_patch(error, ordinary):
    """The largest root mean square of `error` over the `ordinary` points of 8 x 8 of the last two axes longer than 1, or of
    64 in a row."""
    shape = [n for n in error.shape if n > 1]
    plane, side = (tuple(shape[-2:]), 8) if len(shape) > 1 else ((1, error.size), 64)
    worst = 0.0
    for e, o in zip(error.reshape(-1, *plane), ordinary.reshape(-1, *plane)):
        for i, j in itertools.product(range(0, plane[0], 8), range(0, plane[1], side)):
            at = np.s_[i:i + 8, j:j + side]
            if o[at].any():
                worst = max(worst, np.sqrt(np.mean(e[at][o[at]] ** 2)))
    return worst


def _check_chunk(x, y, ordinary, shape, where, chunks, mode, bound):
    if not ordinary.any():
        return
    error, values = np.abs(x[ordinary] - y[ordinary]), x[ordinary]
    assert np.isfinite(error).all(), "an ordinary value came back as no number"
    low, high = values.min(), values.max()
    if chunks is not None and any(s.stop > n for s, n in zip(where, shape)):
        low, high = min(low, 0.0), max(high, 0.0)  # an edge chunk: the library pads it with the fill value
    if mode == ABS:
        assert error.max() <= bound, f"error {error.max():.9g} over the bound {bound:g}"
    elif mode == REL:
        assert error.max() <= bound * (high - low), f"error {error.max():.9g}, range {high - low:g}, bound {bound:g}"
    elif mode == RATIO:
        assert (error <= bound * np.abs(values)).all(), f"relative error {(error / np.abs(values)).max():.9g}"
    elif mode in (PSNR, NRMSE):
        rmse = np.sqrt(np.mean(error**2))
        wanted = (high - low) * (10 ** (-bound / 20) if mode == PSNR else bound)
        assert rmse <= wanted * (1 + 1e-12), f"RMSE {rmse:.9g} over {wanted:.9g}"
    elif mode == BLOCK_NRMSE:
        difference = np.zeros(x.shape)
        difference[ordinary] = error
        worst = worst_patch(difference, ordinary)
        wanted = bound * (high - low)
        cut = chunks is not None and any(s.stop > n for s, n in zip(where, shape))
        # In a patch at the edge the padding counts too: up to all but one of its points.
        assert worst <= wanted * (8 if cut else 1), f"RMSE {worst:.9g} of a patch over {wanted:.9g}"
