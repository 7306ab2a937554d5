"""An independent reader of latents sections of the families vae, contextual, dcae and diffusion, written from
docs/weights-format.md alone: from the weights file and a section to the base. Integers throughout; slow and plain. May not
import anything of the engine.
"""
import itertools
import os
import re

import numpy as np
from read_payload import Bytes, BitStream, Number, require
from read_weights import WeightsFile

LATTICE = 1 << 30
CLASSES = 24


def level(code):
    return (4 + (code & 3)) << (code >> 2)


def code_of(x):
    return next((c for c in range(128) if level(c) >= x), 127)


def expected_classes():
    """Rows of engine/models/latent_classes.inc."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "engine", "models", "latent_classes.inc")) as f:
        return [[int(n) for n in re.findall(r"\d+", row)] for row in re.findall(r"\{([^{}]*)\}", f.read())]


def mirrored(i, n):
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def noise(i, step, group, seed):
    s = sum(word >> 8 * b & 255 for word in philox((i, step, group, 0), (seed, 0)) for b in range(4))
    return (s - 2040) * 887 >> 10


def expecting(row):
    """A number's models that begin with these probabilities."""
    m = Number()
    ends = len(row) // 2
    for model, p in [(m.zero, row[0]), *zip(m.prefix, row[1:1 + ends]), *zip(m.mantissa[1:], row[1 + ends:])]:
        model.p, model.seen = p, 3
    return m


class Spreads:
    """Numbers whose spread is expected."""

    def __init__(self, bits, rows):
        self.bits = bits
        self.models = [expecting(row) for row in rows]
        require(len(self.models) == CLASSES, "the classes of latents")

    def number(self, spread, step):
        c = (spread - code_of(4 * step) + 17) >> 1
        return self.bits.number(self.models[min(max(c, 0), CLASSES - 1)])


class Series:
    def __init__(self, path, section, extents):
        self.weights = w = WeightsFile(path)
        self.c = c = w.config
        n = [k for k in extents if k > 1]
        self.shape = n if len(n) == 3 else [1, *n]
        self.groups = -(-self.shape[0] // c["window"])
        self.cells = [-(-k // c["step"]) for k in self.shape[1:]]
        self.steps = w.array("steps")
        self.channels = self.steps.shape[1]
        r = Bytes(section)
        self.gain, bits, self.shift, self.mantissa, mean = r.get("B"), r.get("B"), r.get("B"), r.get("H"), r.varint()
        self.gain, self.wraps = self.gain & 63, (self.gain >> 6 & 1, self.gain >> 7)
        whole = c["step"] * max(1, c["hyper"])
        require(not any(w and m % whole for w, m in zip(self.wraps, self.shape[1:])), "an axis that wraps")
        require(self.gain < len(self.steps) and bits <= 30 and self.shift <= 60 and self.mantissa >> 13 == 1, "a gain or scale")
        self.mean = (mean >> 1 ^ -(mean & 1)) << bits
        require(abs(self.mean) <= LATTICE, "the mean")
        self.bits = BitStream(r.rest())
        self.seed = self.bits.raw(32) if c["every"] > 1 else 0
        self.moved = [Number(), Number()]
        rows = expected_classes()
        self.hyper, self.numbers = Spreads(self.bits, rows), Spreads(self.bits, rows)
        self.limit = self.input("decode", 0)["max"]
        self.latents = np.zeros((self.groups, *self.cells, self.channels), "i8")
        self.y = np.zeros(self.shape, "i8")
        self.run()

    def input(self, program, k):
        return self.weights.program(program)["inputs"][k]

    def tiles(self):
        return itertools.product(*(range(0, k, self.c["tile"]) for k in self.cells))

    def cut(self, program, k, array, at, by=1, tile=None):
        """Input k of a program for the tile at cell `at`: of [cells..., channels], each `by` cells; outside what lies at the
        other end of an axis that wraps, else zeros."""
        tile = tile or self.c["tile"]
        n = self.input(program, k)["shape"][0]
        h = (n - tile // by) // 2
        for axis, a in enumerate(at):
            m = array.shape[axis]
            index = np.arange(a // by - h, a // by - h + n)
            known = np.ones(n, bool) if self.wraps[axis] else (index >= 0) & (index < m)
            array = np.take(array, index % m, axis) * np.expand_dims(known, tuple(k for k in range(3) if k != axis))
        return array

    def place(self, axis, i):
        """The point of a frame that stands for point i of an axis."""
        n = self.shape[1 + axis]
        return i % n if self.wraps[axis] else mirrored(i, n)

    def cut_seen(self, program, k, seen, at):
        given, step = self.input(program, k), self.c["step"]
        n = given["shape"][0]
        h = (n - self.c["tile"] * step) // 2
        index = [[self.place(axis, a * step - h + i) for i in range(n)] for axis, a in enumerate(at)]
        return np.clip(seen[np.ix_(*index)], -given["max"], given["max"])[..., None]

    def coded(self, g):
        n = self.c["every"]
        return g % n == 0 or g > (self.groups - 1) // n * n

    def run(self):
        for g in filter(self.coded, range(self.groups)):
            seen = self.look(g) if self.c["motion"] else None
            self.read(g, seen)
            if self.c["motion"]:
                self.decode(g, seen)
        for g in range(self.groups):
            if not self.coded(g) and self.coded(g - 1):
                self.generate(g - 1)
        for g in range(0 if not self.c["motion"] else self.groups, self.groups):
            self.decode(g, None)

    def look(self, g):
        rows, columns = self.shape[1:]
        seen = np.zeros((rows, columns), "i8")
        if g == 0:
            return seen
        b, before, d = self.c["motion"], self.y[g * self.c["window"] - 1], [0, 0]
        for i0 in range(0, rows, b):
            for j0 in range(0, columns, b):
                d = [a + self.bits.number(m) for a, m in zip(d, self.moved)]
                require(max(map(abs, d)) <= 127, "a displacement")
                for i in range(i0, min(rows, i0 + b)):
                    for j in range(j0, min(columns, j0 + b)):
                        seen[i, j] = before[self.place(0, i + d[0]), self.place(1, j + d[1])]
        return seen

    def read(self, g, seen):
        c, w, known = self.c, self.weights, []
        if c["hyper"]:
            spreads, most = w.array("hyper_spread"), self.input("prior", 0)["max"]
            z = np.zeros((*(-(-k // (c["step"] * c["hyper"])) for k in self.shape[1:]), len(spreads)), "i8")
            for at in np.ndindex(*z.shape):
                z[at] = self.hyper.number(int(spreads[at[-1]]), c["hyper_step"]) * c["hyper_step"]
                require(abs(z[at]) <= most, "a hyper-latent")
            known.append(lambda k, at: self.cut("prior", k, z, at, c["hyper"]))
        if c["memory"]:
            none = np.zeros_like(self.latents[0])
            before = np.concatenate([self.latents[g - k] if g >= k else none for k in range(1, c["memory"] + 1)], axis=-1)
            known.append(lambda k, at: self.cut("prior", k, before, at))
        if c["motion"]:
            known.append(lambda k, at: self.cut_seen("prior", k, seen, at))
        prior = np.zeros((*self.cells, 2 * self.channels), "i8")
        for at in self.tiles():
            (p,) = w.run("prior", *(f(k, at) for k, f in enumerate(known)))
            part = prior[tuple(slice(a, a + c["tile"]) for a in at)]
            part[...] = p[tuple(slice(k) for k in part.shape)]
        for at in np.ndindex(*self.cells, self.channels):
            mean, spread = prior[at], min(max(int(prior[(*at[:2], at[2] + self.channels)]), 0), 127)
            step = int(self.steps[self.gain, at[2]])
            q = self.numbers.number(spread, step)
            self.latents[(g, *at)] = min(max(int(mean) + q * step, -self.limit), self.limit)

    def decode(self, g, seen):
        c, step = self.c, self.c["step"]
        frames = range(g * c["window"], min((g + 1) * c["window"], self.shape[0]))
        for at in self.tiles():
            more = [self.cut_seen("decode", 1, seen, at)] if c["motion"] else []
            (y,) = self.weights.run("decode", self.cut("decode", 0, self.latents[g], at), *more)
            for k, t in enumerate(frames):
                part = self.y[t][tuple(slice(a * step, (a + c["tile"]) * step) for a in at)]
                part[...] = y[..., k][tuple(slice(m) for m in part.shape)]

    def generate(self, a):
        n, c, w = self.c["every"], self.channels, self.weights
        levels, sampler = w.array("levels"), w.array("sampler")
        keys = np.concatenate([self.latents[a], self.latents[a + n]], axis=-1)
        shape = (*self.cells, (n - 1) * c)
        x = np.zeros(shape, "i8")
        random = lambda k: np.array([noise(i, k, a, self.seed) for i in range(x.size)], "i8").reshape(shape)
        if self.c["start"]:
            x = np.clip(random(len(sampler)) * self.c["start"] + 128 >> 8, -self.limit, self.limit)
        for k, (A, B, C) in enumerate(sampler.tolist()):
            y = np.zeros(shape, "i8")
            m, e = self.input("generate", 2)["shape"][0], levels.shape[1]
            for at in self.tiles():
                (p,) = w.run("generate", self.cut("generate", 0, x, at), self.cut("generate", 1, keys, at),
                             np.broadcast_to(levels[k], (m, m, e)))
                part = y[tuple(slice(i, i + self.c["tile"]) for i in at)]
                part[...] = p[tuple(slice(i) for i in part.shape)]
            x = np.clip(A * x + B * y + (C * random(k) if C else 0) + (1 << 13) >> 14, -self.limit, self.limit)
        for j in range(n - 1):
            self.latents[a + 1 + j] = x[..., j * c:(j + 1) * c]


def read_base(path, section, extents):
    """The base of a chunk of these extents, flat."""
    s = Series(path, section, extents)
    half = 1 << s.shift - 1 if s.shift else 0
    return np.clip(s.mean + (s.y * s.mantissa + half >> s.shift), -LATTICE, LATTICE).reshape(-1)
