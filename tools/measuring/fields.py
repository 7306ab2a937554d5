"""Fields of a folder of HDF5 files: how they are listed, what their range is, what came back of them.

Knows numpy and h5py; knows no codec (value_range stands with the peers, which need it in the package).
"""
import glob
import os

import h5py
import numpy as np

from .peers import value_range


def finite_range(a):
    """high - low of all finite values of `a`, sentinels and all, as float64."""
    v = a[np.isfinite(a)].astype("f8")
    return float(v.max() - v.min()) if v.size else 0.0


def list_fields(folder, min_values=20000, only=()):
    """[(path, dataset name)] of the float datasets of every .h5 of `folder` that have `min_values` values; `only`: those of
    these files, or these as FILE:NAME, without .h5."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "*.h5"))):
        file = os.path.basename(path)[:-3]
        if only and not any(o.partition(":")[0] == file for o in only):
            continue
        with h5py.File(path) as f:
            names = []
            f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            found += [(path, n) for n in names if f[n].dtype.kind == "f" and f[n].size >= min_values
                      and (not only or file in only or f"{file}:{n}" in only)]
    return found


def load(path, name):
    """(values, fill): the dataset, and its fill value where it declares one (`_FillValue`, or HDF5's own)."""
    with h5py.File(path) as f:
        d = f[name]
        a = d[...]
        if "_FillValue" in d.attrs:
            return a, a.dtype.type(np.ravel(d.attrs["_FillValue"])[0])
        if d.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
            return a, a.dtype.type(d.fillvalue)
        return a, None


def bits(a):
    """`a` as unsigned integers of the same width, native byte order."""
    a = np.ascontiguousarray(a)
    return a.astype(a.dtype.newbyteorder("="), copy=False).view(f"u{a.dtype.itemsize}")


def compare(a, b, fill=None):
    """What came back of `a` as `b`: a dict of

    max_err     largest |a - b| over the finite values, in float64; inf where a finite value became something else
    exact       every bit came back
    specials    number of NaN, Inf, -0 and `fill` values in `a`
    bad_specials  how many of them did not come back bit for bit
    bad_nonfinite how many NaN became no NaN, or an Inf something else (all that is asked of other codecs)
    bad_sentinels how many values outside value_range(a) did not (information: the bound still holds for them)
    psnr        dB over value_range(a), of the values inside it; 999 where none differs
    """
    same = bits(a) == bits(b)
    finite = np.isfinite(a)
    special = ~finite | ((a == 0) & np.signbit(a))
    if fill is not None and np.isfinite(fill):
        special |= a == fill
    lo, hi = value_range(a)
    with np.errstate(all="ignore"):
        err = np.abs(b.astype("f8") - a.astype("f8"))[finite]
    err = np.where(np.isfinite(err), err, np.inf)
    inside = finite & (a >= lo) & (a <= hi)
    square = err[inside[finite]] ** 2
    mse = float(square.mean()) if square.size else 0.0
    nonfinite_kept = (np.isnan(a) & np.isnan(b)) | (a == b)
    return dict(max_err=float(err.max()) if err.size else 0.0, exact=bool(same.all()), specials=int(special.sum()),
                bad_specials=int((special & ~same).sum()), bad_nonfinite=int((~finite & ~nonfinite_kept).sum()),
                bad_sentinels=int((finite & ~inside & ~same).sum()),
                psnr=999.0 if mse == 0 else float(20 * np.log10((hi - lo) / mse**0.5)))
