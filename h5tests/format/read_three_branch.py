"""An independent reader of latents sections of family three-branch, written from docs/weights-format.md alone: from the
weights file and a section to the base. Integers throughout; slow and plain. May not import anything of the engine.
"""
import itertools
import math

import numpy as np
from read_payload import Bytes, Residuals, Table, require
from read_weights import WeightsFile

LATTICE = 1 << 30


class Coder:
    """The latents, one by one."""

    def __init__(self, weights, rank):
        self.rank, self.near = rank, 2**rank - 1
        self.predict, self.spread, self.floor = (weights.array(n) for n in ("predict", "spread", "floor"))
        self.thresholds = weights.array("thresholds")
        self.tables = [Table(row.tolist()) for row in weights.array("frequencies")]

    def grid(self, cells, gain, most, stream):
        """Latents [cells..., C] of one grid; `most`: the largest of each channel."""
        channels = len(most)
        q = np.zeros((*cells, channels), "i8")
        d = np.zeros_like(q)
        for at in np.ndindex(*cells):
            back = []
            for k in range(1, self.near + 1):
                p = tuple(i - (k >> self.rank - 1 - a & 1) for a, i in enumerate(at))
                back.append(p if min(p) >= 0 else None)
            direct = sum(int(d[p].sum()) for k, p in enumerate(back, 1) if p is not None and k & k - 1 == 0)
            for c in range(channels):
                prediction, size = 128, int(self.floor[gain, c])
                for k, p in enumerate(back):
                    if p is not None:
                        prediction += int(self.predict[c, k] * q[p][c])
                        size += int(self.spread[c, k] * d[p][c])
                size += int(self.spread[c, self.near] * d[at][:c].sum() + self.spread[c, self.near + 1] * direct)
                prediction >>= 8
                latent = prediction + self.symbol(stream, self.tables[int((self.thresholds <= size).sum())])
                require(abs(latent) <= most[c], "a latent is out of its range")
                q[at][c], d[at][c] = latent, abs(latent - prediction)
        return q

    @staticmethod
    def symbol(stream, table):
        s = stream.symbol(table, stream.index % len(stream.states))
        stream.index += 1
        if s < len(table.frequency) - 1:
            return -((s + 1) // 2) if s & 1 else s // 2
        w = stream.raw.take(5)
        v = table.limit + (1 << w) + stream.raw.take(w)
        return -v if stream.raw.take(1) else v


def read_base(path, section, extents):
    """The base of a chunk of these extents, flat."""
    weights = WeightsFile(path)
    rank, step, tile = (weights.config[k] for k in ("rank", "step", "tile"))
    given = weights.program("decode")["inputs"][0]
    halo, channels, limit = (given["shape"][0] - tile) // 2, given["shape"][-1], given["max"]
    extents = [n for n in extents if n > 1]
    slices, n = math.prod(extents[:-rank]), extents[-rank:]
    r = Bytes(section)
    gain, bits, shift, mantissa, mean = r.get("B"), r.get("B"), r.get("B"), r.get("H"), r.varint()
    steps = weights.array("steps")
    require(gain < len(steps) and bits <= 30 and shift <= 60 and mantissa >> 13 == 1, "a gain or scale")
    mean = (mean >> 1 ^ -(mean & 1)) << bits
    require(abs(mean) <= LATTICE, "the mean")
    coder, stream = Coder(weights, rank), Residuals(r.rest())
    stream.begin()
    cells = [-(-k // step) for k in n]
    base = np.empty((slices, *n), "i8")
    most = [limit // int(s) for s in steps[gain]]
    grids = [coder.grid(cells, gain, most, stream) for _ in range(slices)]
    stream.finish()
    for field, q in zip(base, grids):
        z = np.pad(q * steps[gain], [*((halo, halo + tile) for _ in cells), (0, 0)])
        for at in itertools.product(*(range(0, c, tile) for c in cells)):
            (y,) = weights.run("decode", z[tuple(slice(a, a + tile + 2 * halo) for a in at)])
            y = y[..., 0]
            part = tuple(slice(a * step, (a + tile) * step) for a in at)
            inside = field[part].shape
            y = y[tuple(slice(k) for k in inside)]
            half = 1 << shift - 1 if shift else 0
            field[part] = np.clip(mean + (y * mantissa + half >> shift), -LATTICE, LATTICE)
    assert channels == len(most)
    return base.reshape(-1)
