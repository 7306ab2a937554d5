"""An independent reader of family frames, written from docs/weights-format.md alone: from the weights file and a latents
section to predictions of frames. Integers throughout; slow and plain. May not import anything of the engine.
"""
import itertools

import numpy as np
from read_payload import MOST, Bytes, require
from read_weights import WeightsFile


class Frames:
    """How frames are predicted. `levels`: of the order between; None where the order is causal."""

    def __init__(self, path, latents):
        self.weights = WeightsFile(path)
        self.rank, self.history, self.tile, self.halo = (self.weights.config[k]
                                                         for k in ("rank", "history", "tile", "halo"))
        r = Bytes(latents)
        head, self.shift, self.mantissa, z = r.get("B"), r.get("B"), r.get("H"), r.varint()
        self.offset, self.wraps = (z >> 1) ^ -(z & 1), [bool(head >> 1 + a & 1) for a in range(self.rank)]
        self.levels = r.get("B") if head & 1 else None
        require(head >> 4 == 0 and self.shift <= 40 and self.mantissa >> 13 == 1 and abs(self.offset) <= MOST, "a scale")
        require(not r.rest() and (self.levels is None or 1 <= self.levels <= 15), "an order of frames")

    def predict(self, before):
        """The frame after all these."""
        return self.run("predict", [before[max(0, len(before) - k)] for k in range(self.history, 0, -1)])

    def between(self, before, after):
        return self.run("between", [before, after])

    def run(self, name, given):
        shape = given[0].shape
        n = shape[-self.rank:]
        half = 1 << self.shift - 1 if self.shift else 0
        x = np.stack([f.reshape(n) for f in given], -1)
        x = np.clip(((x - self.offset) * self.mantissa + half) >> self.shift, -32767, 32767)
        out = np.empty(n, np.int64)
        for first in itertools.product(*(range(0, k, self.tile) for k in n)):
            part = x[np.ix_(*(self.places(a, f, n[a]) for a, f in enumerate(first)))]
            inside = tuple(slice(f, f + self.tile) for f in first)
            (y,) = self.weights.run(name, part)
            out[inside] = y[..., 0][tuple(slice(k) for k in out[inside].shape)]
        down = 40 - self.shift
        half = 1 << down - 1 if down else 0
        return np.clip(self.offset + ((out * ((1 << 40) // self.mantissa) + half) >> down), -MOST, MOST).reshape(shape)

    def places(self, axis, first, n):
        at = np.arange(first - self.halo, first + self.tile + self.halo)
        at %= n if self.wraps[axis] else 2 * n
        return np.where(at < n, at, 2 * n - 1 - at)
