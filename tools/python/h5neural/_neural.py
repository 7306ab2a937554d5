"""Neural: the filter and its options as h5py takes them."""
import hashlib
import math
import os
import string

import h5py

from . import _weights, _words


def _model_number(model):
    """First 64 bits of the SHA-256 of the weights: from a word, from hexadecimal digits, from the file itself, or from the
    name of weights that the engine finds."""
    if model is None or model == "auto":
        return _words.MODEL_AUTO
    if model == "none":
        return _words.MODEL_NONE
    if isinstance(model, int) and not isinstance(model, bool) and 0 <= model < 2**64:
        return model
    text = os.fspath(model) if isinstance(model, (str, os.PathLike)) else ""
    if 16 <= len(text) <= 64 and all(c in string.hexdigits for c in text):
        return int(text[:16], 16)
    if os.path.isfile(text):
        with open(text, "rb") as f:
            return int(hashlib.sha256(f.read()).hexdigest()[:16], 16)
    known = _weights.hashes_by_name() if text else {}
    if text in known:
        return known[text]
    raise ValueError(f"h5neural: model {model!r} is neither None, 'none', 16 or more hexadecimal digits of the weights' "
                     f"SHA-256, the path of a weights file, nor the name of weights that are found here ("
                     f"{', '.join(known) or 'none are'}); `h5neural weights list` says more")


def _check_bound(mode, bound):
    if isinstance(bound, bool):
        raise TypeError(f"h5neural: {mode}={bound!r} is no number")
    bound = float(bound)
    if not (bound > 0 and math.isfinite(bound)):
        raise ValueError(f"h5neural: {mode}={bound!r} is not served; give a finite number above 0, or lossless=True")
    if mode == "ratio" and bound >= 1:
        raise ValueError(f"h5neural: ratio={bound!r} is not served; give a number below 1")
    return bound


class Neural(h5py.filters.FilterRefBase):
    """h5neural with its options, for `create_dataset(..., compression=Neural(abs=1e-3))` or `**Neural(abs=1e-3)`.

    Exactly one of
      abs       |x - x'| <= abs, in the data's unit
      rel       |x - x'| <= rel * (range of the chunk's values, without NaN, Inf and fill values)
      ratio     |x - x'| <= ratio * |x|, below 1
      psnr      PSNR of at least psnr decibels, for each chunk
      nrmse     root mean square error <= nrmse * range, for each chunk
      block_nrmse  root mean square error <= block_nrmse * (range of the chunk), for each patch of 8 x 8
                points of the last two axes
      lossless  True: every bit comes back (also when no bound is given)
    and
      effort    0 (fast) to 9 (small)
      model     None: the writer chooses; 'none'; the name of weights that are found here; digits of
                their SHA-256; or the path of their file
    """

    filter_id = _words.FILTER_ID

    def __init__(self, *, abs=None, rel=None, ratio=None, psnr=None, nrmse=None, block_nrmse=None,
                 lossless=False, effort=_words.DEFAULT_EFFORT, model=None):
        bounds = dict(abs=abs, rel=rel, ratio=ratio, psnr=psnr, nrmse=nrmse, block_nrmse=block_nrmse)
        given = {m: b for m, b in bounds.items() if b is not None}
        if len(given) + bool(lossless) > 1:
            names = ", ".join([*given, *(["lossless"] if lossless else [])])
            raise ValueError(f"h5neural: {names} are given; give one bound")
        if isinstance(effort, bool) or effort not in range(10):
            raise ValueError(f"h5neural: effort={effort!r} is not served; give 0 (fast) to 9 (small)")
        self.mode, self.bound = "lossless", None
        for mode, bound in given.items():
            self.mode, self.bound = mode, _check_bound(mode, bound)
        self.effort = int(effort)
        self.model = _model_number(model)
        self.filter_options = _words.pack(self.mode, self.bound, self.model, self.effort)

    @classmethod
    def from_options(cls, cd_values):
        """The Neural of a dataset's filter values, h5py's `filter_options`. Raises ValueError."""
        mode, bound, model, effort = _words.unpack(tuple(cd_values))
        return cls(**({mode: bound} if bound is not None else {"lossless": True}), effort=effort, model=model)

    @classmethod
    def from_dataset(cls, dataset):
        """The Neural that an h5py.Dataset was written with; None when it has another filter or none."""
        pipeline = dataset.id.get_create_plist()
        for i in range(pipeline.get_nfilters()):
            number, _, options, _ = pipeline.get_filter(i)
            if number == cls.filter_id:
                return cls.from_options(options)
        return None

    def get_config(self):
        """The options as a dict: mode, bound (None for lossless), effort, model (None, 'none' or 16 hexadecimal digits)."""
        model = {_words.MODEL_AUTO: None, _words.MODEL_NONE: "none"}.get(self.model, f"{self.model:016x}")
        return dict(mode=self.mode, bound=self.bound, effort=self.effort, model=model)

    def __repr__(self):
        config = self.get_config()
        parts = [f"{self.mode}={self.bound!r}" if self.bound is not None else "lossless=True"]
        if self.effort != _words.DEFAULT_EFFORT:
            parts.append(f"effort={self.effort}")
        if config["model"] is not None:
            parts.append(f"model={config['model']!r}")
        return f"Neural({', '.join(parts)})"
