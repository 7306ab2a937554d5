#!/usr/bin/env python3
"""An independent reader of payloads, written from docs/format.md alone: it shares nothing with the engine but the
probability tables (engine/entropy/tables.inc). Slow and plain; it exists to prove that the page says enough.

    read_payload.py PAYLOAD VALUES     writes the decoded values, in the byte order of the writer

By itself it serves payloads without a model; read_three_branch.py and read_latents.py read bases, read_network.py the
weights of another, read_frames.py predicts the frames of a third. Integers throughout; the one multiplication of floats
is in `lattice_values`. Needs numpy, xxhash and zstandard. May not import anything of the engine, nor load its library.
"""
import bisect
import functools
import itertools
import math
import os
import struct
import sys

import numpy as np
import xxhash
import zstandard

RAW, LOSSLESS, WALK, CONSTANT, REPEATS, TRANSFORM, FRAMES = range(7)
TABLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "engine", "entropy", "tables.inc")
AXES = 4
MOST = 1 << 28


class Damaged(Exception):
    """The payload breaks the format."""


class NeedsModel(Exception):
    """The payload has a model, which docs/format.md does not describe."""


def require(condition, what):
    if not condition:
        raise Damaged(what)


def clamp(x):
    return min(max(x, -MOST), MOST)


def divide(a, b):
    """a / b, towards zero."""
    return a // b if (a < 0) == (b < 0) else -(-a // b)


# ---- bytes, header ---------------------------------------------------------------------------------------------------


class Bytes:
    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def take(self, n):
        require(n <= len(self.data) - self.at, "a section ends early")
        self.at += n
        return self.data[self.at - n:self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def get(self, kind):
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def varint(self):
        v = 0
        for shift in range(0, 64, 7):
            b = self.get("B")
            v |= (b & 127) << shift
            if b < 128:
                return v & (2**64 - 1)
        raise Damaged("a number is too long")


    def short_double(self):
        """The upper bits of a positive double, its sign left out."""
        return struct.unpack("<d", struct.pack("<Q", int.from_bytes(self.take(3), "little") << 39))[0]


def low_hash(data):
    return xxhash.xxh3_64_intdigest(data) & 0xFFFFFFFF


def checksum(payload):
    """What stands in bytes 3 to 6 of a payload."""
    return struct.pack("<I", low_hash(payload[:3] + payload[7:]))


class Header:
    """The header of a payload, and its three sections."""

    def __init__(self, payload):
        require(len(payload) >= 7, "no header")
        require(payload[3:7] == checksum(payload), "checksum")
        r = Bytes(payload)
        require(r.take(2) == b"hN", "not a payload")
        version_and_kind = r.get("B")
        require(version_and_kind >> 4 == 1, "not a payload of version 1")
        self.kind = version_and_kind & 15
        r.take(4)
        self.values_hash = r.get("I")
        what, follows = r.get("B"), r.get("B")
        self.mode, self.rank, self.size = what & 7, (what >> 3 & 7) + 1, 8 if what & 64 else 4
        self.big_endian = bool(what & 128)
        form = follows >> 2
        require(self.kind <= 6 and self.mode <= 6 and (self.mode or not form), "header")
        self.extents = [r.varint() for _ in range(self.rank)]
        self.count = math.prod(self.extents)
        require(1 <= self.count < 2**32, "extents")
        self.bound = 0.0
        if self.mode and form == 63:
            self.bound = r.get("d")
        elif self.mode:
            number = r.varint()
            require(form <= 22 and number < 2**28, "its bound is out of range")
            self.bound = number / 10.0**form
        self.abs_bound = r.short_double() if self.mode in (2, 4, 5, 6) else None
        self.model = r.get("Q") if follows & 1 else 0
        latents = r.varint() if follows & 1 else 0
        specials = r.varint() if follows & 2 else 0
        self.latents, self.specials, self.corrections = r.take(latents), r.take(specials), r.rest()

    @property
    def word(self):
        return np.dtype(f"<u{self.size}")


# ---- bit stream ------------------------------------------------------------------------------------------------------


class Bit:
    """A model of one bit."""

    def __init__(self):
        self.p, self.seen = 2048, 0

    def update(self, bit):
        rate = self.seen + 2 if self.seen < 3 else 5
        self.seen = min(self.seen + 1, 255)
        self.p += -(self.p >> rate) if bit else (4096 - self.p) >> rate
        self.p = min(max(self.p, 16), 4080)


class Number:
    """The models of a number."""

    def __init__(self):
        self.zero, self.sign = Bit(), Bit()
        self.prefix, self.mantissa = [Bit() for _ in range(31)], [Bit() for _ in range(32)]


class BitStream:
    def __init__(self, data):
        self.data, self.at = data, 0
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | self.next()

    def next(self):
        self.at += 1
        require(self.at <= len(self.data) + 16, "a bit stream ends early")
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def split(self, zero, one):
        """A bit that leaves the range `zero` or `one`."""
        bit = self.code >= zero
        if bit:
            self.code -= zero
        self.range = one if bit else zero
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | self.next()
        return bit

    def bit(self, model):
        bound = (self.range >> 12) * model.p
        bit = self.split(bound, self.range - bound)
        model.update(bit)
        return int(bit)

    def raw(self, count, most=None, what="a raw number"):
        """Raw bits as a number, which must not exceed `most`."""
        v = 0
        for _ in range(count):
            v = v << 1 | self.split(self.range >> 1, self.range >> 1)
        require(most is None or v <= most, f"{what} is out of range")
        return v

    def number(self, m, low=-2**31, high=2**31 - 1, what="a number"):
        """A number, which must lie in low ... high."""
        v = self.any_number(m)
        require(low <= v <= high, f"{what} is out of range")
        return v

    def any_number(self, m):
        if not self.bit(m.zero):
            return 0
        negative = self.bit(m.sign)
        b = 0
        while b < 31 and self.bit(m.prefix[b]):
            b += 1
        v = 1
        if b > 0:
            v = v << 1 | self.bit(m.mantissa[b])
        if b > 1:
            v = v << (b - 1) | self.raw(b - 1)
        v = (-v if negative else v) & 0xFFFFFFFF
        return v - 2**32 if v >= 2**31 else v


# ---- specials --------------------------------------------------------------------------------------------------------


class Specials:
    """Classes of all points (None: all regular), the bits of patterns and literals, and [(index, bits)] of outliers."""

    def __init__(self, section, h):
        self.classes, self.patterns, self.literals, self.outliers = None, [], [], []
        if not section:
            return
        r, word = Bytes(section), "I" if h.size == 4 else "Q"
        self.patterns = self.bits(r, word, 200)
        self.literals = self.bits(r, word, h.count)
        at = -1
        for _ in range(r.varint()):
            at += r.varint() + 1
            require(at < h.count, "an outlier lies outside of the chunk")
            self.outliers.append((at, r.get(word)))
        if self.patterns or self.literals:
            stream = BitStream(r.rest())
            self.classes = read_classes(stream, h.extents, len(self.patterns))
            require(int((self.classes == len(self.patterns) + 1).sum()) == len(self.literals), "literals")

    @staticmethod
    def bits(r, word, most):
        n = r.varint()
        require(n <= most, "a list of specials is too long")
        return [r.get(word) for _ in range(n)]

    def apply(self, words):
        if self.classes is not None:
            for k, bits in enumerate(self.patterns):
                words[self.classes == k + 1] = bits
            words[self.classes == len(self.patterns) + 1] = np.array(self.literals, words.dtype)
        for k, bits in self.outliers:
            words[k] = bits


def read_classes(stream, extents, patterns):
    length, slab = extents[-1], extents[-2] if len(extents) > 1 else 1
    from_slab, from_row = [Bit() for _ in range(3)], [Bit() for _ in range(3)]
    special, other, number = [Bit() for _ in range(32)], [Bit() for _ in range(2)], Number()
    rows, last, last_class = [], 0, 1
    for r in range(math.prod(extents[:-1])):
        north = rows[r - 1] if r >= 1 else None
        up = rows[r - slab] if slab > 1 and r >= slab else None
        if up is not None and stream.bit(from_slab[last]):
            last = 2
            rows.append(up)
            continue
        if north is not None and stream.bit(from_row[last]):
            last = 1
            rows.append(north)
            continue
        last = 0
        row = []
        for k in range(length):
            w, ww = row[k - 1] if k else 0, row[k - 2] if k > 1 else 0
            n, u = north[k] if north else 0, up[k] if up else 0
            ne = north[k + 1] if north and k + 1 < length else 0
            context = (w != 0) + 2 * (n != 0) + 4 * (u != 0) + 8 * (ww != 0) + 16 * (ne != 0)
            c = 0
            if stream.bit(special[context]):
                c = guess = w or n or u or last_class
                if stream.bit(other[guess == w]):
                    c = 1 + stream.number(number, 0, patterns, "a class")
                last_class = c
            row.append(c)
        rows.append(row)
    return np.array(rows, np.int64).reshape(-1)


# ---- lattice ---------------------------------------------------------------------------------------------------------


class Lattice:
    def __init__(self, r):
        b = r.get("B")
        self.domain, self.step_bits = b >> 4, b & 15
        require(self.domain <= 1 and self.step_bits <= 4, "its lattice is unknown")
        self.unit = r.varint() if self.domain else r.short_double()
        if self.domain:
            require(1 <= self.unit < 2**63, "its lattice has no unit")
        else:
            require(2.0**-1022 <= self.unit < math.inf, "its lattice has no unit")
        z = r.varint()
        self.origin = (z >> 1) ^ -(z & 1)
        require(self.domain or abs(self.origin) <= 2**51, "its lattice lies too far off")


def lattice_values(lattice, points, size):
    """The bits of the values of lattice points."""
    if lattice.domain == 0:
        with np.errstate(over="ignore", under="ignore"):
            values = (points + lattice.origin).astype(np.float64) * lattice.unit
            return values.astype(f"<f{size}").view(f"<u{size}")
    sign = 1 << (8 * size - 1)
    bits = []
    for n in points.tolist():
        i = (n + lattice.origin) * lattice.unit & (2**64 - 1)
        i -= 2**64 if i >= 2**63 else 0
        bits.append(min(abs(i), sign - 1) | (sign if i < 0 else 0))
    return np.array(bits, f"<u{size}")


# ---- residuals -------------------------------------------------------------------------------------------------------


class Table:
    def __init__(self, frequencies):
        self.frequency = frequencies
        self.start = [0, *itertools.accumulate(frequencies)]
        self.limit = (len(frequencies) - 2) // 2
        assert self.start[-1] == 4096 and len(frequencies) == 2 * self.limit + 2


@functools.cache
def tables():
    """[shape][scale]"""
    with open(TABLES) as f:
        lines = [line for line in f if line.startswith("{")]
    all_tables = [Table([int(x) for x in line.strip().strip("{},").split(",")]) for line in lines]
    assert len(all_tables) == 3 * 31
    return [all_tables[31 * shape:31 * shape + 31] for shape in range(3)]


class RawBits:
    """Bits in order, from the lowest of each byte."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, k):
        require(self.at + k <= 8 * len(self.data), "the raw bits end early")
        v = 0
        for i in range(k):
            v |= (self.data[self.at >> 3] >> (self.at & 7) & 1) << i
            self.at += 1
        return v

    def finish(self):
        left = 8 * len(self.data) - self.at
        require(left < 8 and self.take(left) == 0, "the raw bits' end")


class Residuals:
    """The rANS stream and the raw bits beside it."""

    escapes = index = 0

    def __init__(self, data):
        self.r, self.raw, self.states = Bytes(data), RawBits(b""), [1 << 16]
        if data:
            code = self.r.get("B")
            require(code & 127 in (0, 1, 2), "lanes")
            if code & 128:
                self.raw = RawBits(self.r.take(self.r.varint()))
            self.states = [self.r.get("I") for _ in range((1, 4, 32)[code & 127])]
            require(all(x >= 1 << 16 for x in self.states), "a state is out of range")
            require((len(self.r.data) - self.r.at) % 2 == 0, "half a word")

    def symbol(self, table, lane):
        x = self.states[lane]
        slot = x & 4095
        s = bisect.bisect_right(table.start, slot) - 1
        x = table.frequency[s] * (x >> 12) + slot - table.start[s]
        self.states[lane] = x << 16 | self.r.get("H") if x < 1 << 16 else x
        return s

    def finish(self):
        require(self.r.at == len(self.r.data) and all(x == 1 << 16 for x in self.states), "the residuals' end")
        self.raw.finish()

    def begin(self):
        """A batch begins."""
        self.index = 0

    def batch(self, choices):
        """The residuals of a batch, given the (shape, scale) of each."""
        self.begin()
        return [self.next(c) for c in choices]

    def next(self, choice):
        """The next residual of the batch."""
        shape, scale = choice
        low = -(-(scale - 30) // 4) if scale > 30 else 0
        table = tables()[shape][scale - 4 * low]
        s = self.symbol(table, self.index % len(self.states))
        self.index += 1
        return self.residual(s, table, low)

    def residual(self, s, table, low_bits):
        if s < len(table.frequency) - 1:
            v = -((s + 1) // 2) if s & 1 else s // 2
        else:
            self.escapes += 1
            b = 0
            while self.raw.take(1):
                b += 1
                require(b <= 30, "a residual is out of range")
            v = table.limit + (1 << b | self.raw.take(b))
            if self.raw.take(1):
                v = -v
        q = (v << low_bits) + self.raw.take(low_bits) - (1 << low_bits >> 1 if low_bits else 0)
        require(abs(q) <= 1 << 30, "a residual is out of range")
        return q


class TableChoices:
    """What the side information says of tables."""

    def __init__(self):
        self.shape_bit, self.other_bit = [Bit() for _ in range(3)], [Bit() for _ in range(3)]
        self.scale_number, self.shape, self.shift = Number(), 1, 0

    def implied(self, suggested):
        """(shape, scale) where nothing is sent."""
        return self.shape, min(max(suggested + self.shift, 0), 118)

    def sent(self, side, suggested):
        """(shape, scale) as sent."""
        _, scale = self.implied(suggested)
        scale += side.number(self.scale_number, -scale, 118 - scale, "a table")
        self.shift = scale - suggested
        if side.bit(self.shape_bit[self.shape]):
            self.shape = (self.shape + (2 if side.bit(self.other_bit[self.shape]) else 1)) % 3
        return self.shape, scale

    def of_counts(self, side, suggested, counts, enough, note):
        """A table for each context that has points, sent where they are enough; None for the others."""
        found = [None if not k else self.sent(side, suggested(x)) if k >= enough else self.implied(suggested(x))
                 for x, k in enumerate(counts)]
        for t in found:
            if t:
                note(f"shape {t[0]}")
                note("low bits" if t[1] > 30 else "no low bits")
        return found


# ---- walk: schedule, stencils, kriging -------------------------------------------------------------------------------


def fold(extents):
    n = [e for e in extents if e > 1]
    while len(n) > AXES:
        n[:2] = [n[0] * n[1]]
    return (1,) * (AXES - len(n)) + tuple(n)


def read_schedule(side, n, note=lambda what: None):
    """([(grid, mask as a tuple of axes, weights, finer, onward by axis)] finest first, root grid, wrapping axes)."""
    uniform, straight, wraps = True, True, ()
    if side.bit(Bit()):
        uniform = not side.bit(Bit())
        straight = not side.bit(Bit())
        if side.bit(Bit()):
            wraps = tuple(a for a in range(AXES) if n[a] > 1 and side.raw(1))
    note("straight" if straight else "not straight")
    for a in wraps:
        note("wraps")
    in_mask = [[Bit(), Bit()] for _ in range(AXES)]
    changes, which = Bit(), Bit()
    number, finer_number, finer = Number(), Number(), 0
    levels, grid, mask, weight, onward = [], tuple(n), (), (0,) * AXES, [0] * AXES
    while math.prod(grid) > 4:
        axes, weights, onwards = [], [0] * AXES, [0] * AXES
        for a in range(AXES):
            if grid[a] == 1:
                continue
            if side.bit(in_mask[a][a in mask]):
                axes.append(a)
            weights[a] = weight[a] + side.number(number, -weight[a], 11 - weight[a], "a weight")
            if not straight and side.bit(changes):
                onwards[a] = (onward[a] + (2 if side.bit(which) else 1)) % 3
            elif not straight:
                onwards[a] = onward[a]
        require(1 <= len(axes) <= 3, "a level refines no axis, or too many")
        mask, weight, onward = tuple(axes), tuple(weights), onwards
        if not uniform:
            finer += side.number(finer_number, -finer, 16 - finer, "a level's bins")
        levels.append((grid, mask, weight, finer, tuple(onward)))
        for o in onward:
            note(f"onward {o}")
        grid = tuple((k + 1) // 2 if a in mask else k for a, k in enumerate(grid))
    return levels, grid, wraps


def bin_width(step_bits, finer):
    shift = 16 + finer // 4
    return max(1, ((65536, 55109, 46341, 38968)[finer % 4] * 2**step_bits + 2 ** (shift - 1)) >> shift)


POWER = (256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096, 5793, 8192, 11585)
ORDER = {1: ("1",), 2: ("11", "10", "01"), 3: ("111", "110", "001", "101", "010", "011", "100")}


def cosets(mask):
    """The cosets of a level in order, as tuples of 0 and 1 for the four axes."""
    for bits in ORDER[len(mask)]:
        yield tuple(int(bits[mask.index(a)]) if a in mask else 0 for a in range(AXES))


def square(d, weight):
    return sum(x * x * POWER[w] for x, w in zip(d, weight))


@functools.cache
def stencil(reach, mask, weight, coset, known):
    """The offsets d of the pairs, nearest first."""
    found = []
    for d in itertools.product(*[range(-m, m + 1) for m in reach]):
        first = next((x for x in d if x), 0)
        at = tuple((c + x) % 2 if a in mask else 0 for a, (c, x) in enumerate(zip(coset, d)))
        if first > 0 and at in known:
            found.append((square(d, weight), d))
    return [d for _, d in sorted(found)[:64]]


def covariance(x, exponent):
    h = math.isqrt(x << 40)
    r = math.isqrt(h << 24)
    times = lambda a, b: a * b >> 24
    hh = times(h, h)
    return (-r, -h, -times(h, r), times(hh, r), times(hh, h), times(times(hh, h), r))[exponent]


@functools.cache
def kriging(pairs, weight, exponent, nugget):
    """c_1, c_2, ... of the first 20 pairs, in units of 2^-20."""
    d, n = pairs[:20], len(pairs[:20])
    c = functools.cache(lambda x: covariance(x, exponent))
    between = lambda p, q, sign: c(square([x + sign * y for x, y in zip(p, q)], weight))
    A = [[2 * (between(p, q, -1) + between(p, q, 1)) for q in d] for p in d]
    for i in range(n):
        A[i][i] += 2 * (0, 1 << 20, 1 << 22, 1 << 24)[nugget]
    k = [2 * c(square(p, weight)) for p in d]
    M = [[A[i][j] - A[i][0] - A[0][j] + A[0][0] for j in range(1, n)] for i in range(1, n)]
    g = [k[i] - k[0] - divide(A[i][0] - A[0][0], 2) for i in range(1, n)]
    n -= 1
    largest = max([1, *(M[i][i] for i in range(n)), *map(abs, g)])
    M = [[divide(x << 40, largest) for x in row] for row in M]
    g = [divide(x << 40, largest) for x in g]
    for i in range(n):
        if M[i][i] < 1 << 14:
            return [0] * n
        for j in range(i + 1, n):
            f = divide(M[j][i] << 40, M[i][i])
            for m in range(i + 1, n):
                M[j][m] -= f * M[i][m] >> 40
            g[j] -= f * g[i] >> 40
    for i in reversed(range(n)):
        g[i] = divide((g[i] << 40) - sum(M[i][j] * g[j] for j in range(i + 1, n)), M[i][i])
    return [min(max(x >> 20, -(1 << 22)), 1 << 22) for x in g]


# ---- walk: one level's grid ------------------------------------------------------------------------------------------


def ahead(onward, k):
    """How far the k-th ghost goes on along the slope, in 256ths of it."""
    return (256 * k, sum(160 >> j for j in range(k)), 0)[onward]


class Grid:
    """Values and magnitudes of a level, with ghosts. Arrays are indexed by padded position."""

    def __init__(self, n, wraps=(), onward=(0,) * AXES):
        self.n, self.wraps, self.onward = n, wraps, onward
        wide = sum(k > 1 for k in n)
        far = 9 if wide <= 1 else 5 if wide <= 3 else 3
        self.reach = tuple(0 if k == 1 else 1 if k == 2 else min(far, 2) if k <= 5 else far for k in n)
        self.margin = tuple(r + 1 if r else 0 for r in self.reach)
        self.value = np.zeros([k + 2 * m for k, m in zip(n, self.margin)], np.int64)
        self.magnitude = np.zeros_like(self.value)

    def points(self, coset, mask, d=(0,) * AXES):
        """Where p + d lies, for all points p of a coset (of the whole grid when the mask is empty)."""
        return tuple(slice(m + c + x, m + k + x, 2 if a in mask else 1)
                     for a, (m, c, x, k) in enumerate(zip(self.margin, coset, d, self.n)))

    def extend(self, v, coset, mask, nearest):
        """Fills the ghosts of a coset."""
        where = list(self.points(coset, mask))
        for a in range(AXES):
            m, k, step = self.margin[a], self.n[a], 2 if a in mask else 1
            if m == 0:
                continue
            at = lambda i: tuple(where[:a] + [i + m] + where[a + 1:])
            inside = range(coset[a], k, step)
            if a in self.wraps:
                for i in range((m + coset[a]) % step - m, k + m, step):
                    v[at(i)] = v[at(i % k)]
                where[a] = slice((m + coset[a]) % step, k + 2 * m, step)
                continue
            for outer, towards in ((inside[0], -step), (inside[-1], step)):
                p = v[at(outer)].copy()
                slope = 0
                if not nearest and len(inside) > 1:
                    slope = np.clip(p - v[at(outer - towards)], -(1 << 26), 1 << 26)
                count, i = 1, outer + towards
                while -m <= i < k + m:
                    v[at(i)] = np.clip(p + (ahead(self.onward[a], count) * slope >> 8), -MOST, MOST)
                    count, i = count + 1, i + towards
            where[a] = slice((m + coset[a]) % step, k + 2 * m, step)  # from here on lines start in ghosts too


class Choices:
    """What the side information remembers from coset to coset."""

    def __init__(self):
        bits = lambda n: [Bit() for _ in range(n)]
        self.exponent_bit, self.nugget_bit, self.fitted_bit = bits(7), bits(7), bits(7)
        self.exponent, self.nugget = [3] * 7, [0] * 7
        self.size_number, self.precision_number = Number(), Number()
        self.size = self.precision = 1
        self.coefficient = [Number() for _ in range(3)]
        self.weight_number = Number()
        self.weights = [[23, 17, 19, 23, 0] for _ in range(7)]
        self.tables = TableChoices()
        self.told_bit, self.told = bits(2), False
        self.unasked_bit, self.unasked = bits(2), 0
        self.network_number, self.network = [Number(), Number()], [4, 4]

    def coefficients(self, side, order, pairs, weight, based, note):
        """What S_0 gets beside its half, c_1, c_2, ..."""
        if side.bit(self.exponent_bit[order]):
            self.exponent[order] = side.raw(3, 5, "a variogram")
        if side.bit(self.nugget_bit[order]):
            self.nugget[order] = side.raw(2)
        c = list(kriging(pairs, weight, self.exponent[order], self.nugget[order]))
        if not side.bit(self.fitted_bit[order]):
            return 0, c
        self.size += side.number(self.size_number, -self.size, 4 - self.size, "a size")
        self.precision += side.number(self.precision_number, -self.precision, 4 - self.precision, "a precision")
        bits = (5, 7, 9, 11, 13)[self.precision]
        note(f"size {self.size}")
        note(f"precision {self.precision}")
        fitted = min(len(pairs), (4, 8, 16, 32, 64)[self.size]) - 1
        c += [0] * (fitted - len(c))
        given = []
        for j in range(fitted + based):
            model = self.coefficient[0 if j < 4 else 1 if j < 16 else 2]
            given.append(side.number(model, -4 << bits, 4 << bits, "a coefficient") << (20 - bits))
        for j, difference in enumerate(given[based:]):
            c[j] += difference
        return given[0] if based else 0, c

    def every_table(self, side):
        """A table for each context, where it is not known how many points have it."""
        table = []
        for x in range(36):
            self.told = bool(side.bit(self.told_bit[self.told]))
            suggested = suggested_scale(x)
            table.append(self.tables.sent(side, suggested) if self.told else self.tables.implied(suggested))
        return table

    def change_weights(self, side, order):
        w = self.weights[order]
        for i in range(5):
            w[i] += side.number(self.weight_number, -w[i], 39 - w[i], "a context weight")


    def how_far(self, side, note):
        """(move, change), how far a coset follows the network; None: it is not asked."""
        self.unasked = side.bit(self.unasked_bit[self.unasked])
        note("network not asked" if self.unasked else "network asked")
        if self.unasked:
            return None
        for i, last in enumerate(self.network):
            self.network[i] += side.number(self.network_number[i], -last, 7 - last, "how far a network is followed")
            note(f"network {('move', 'change')[i]} {self.network[i]}")
        return self.network


def context_weight(index):
    m = 39 - index
    e = 2**32 >> (m // 2)
    return 0 if index == 0 else ((e * 46341 >> 16) if m % 2 else e) >> 12


def half_octaves(s):
    t = s.bit_length() - 1
    return 2 * t + 1 + (s * 64 >= 91 << t) if s else 0


def suggested_scale(context):
    return 18 + 2 * (context - 10) + 1


def context_origin(step_bits, finer):
    return 2 * (step_bits + 4) - finer // 2 - 9


def context_of(s, step_bits, finer):
    h = half_octaves(min(s, 2**31 - 1))
    return min(max(h - context_origin(step_bits, finer), 0), 35)


def share_of(base, shares, level):
    """What a level takes off of the base. `level` 0 is the finest."""
    share = shares[level] if level < len(shares) else 8
    return base * share + 4 >> 3


def climb(schedule, step_bits, skip, side, root_number, coder, note, base, shares=()):
    """The values of one walk [n] from its root up. `coder` is called for each coset, in order, and ends in accept().
    `base`: [n]; `shares`: eighths of it that the levels take off, finest first."""
    levels, root, wraps = schedule
    n = skip.shape
    stride = [1] * AXES
    strides = []
    for _, mask, *_ in levels:
        strides.append(tuple(stride))
        stride = [s * 2 if a in mask else s for a, s in enumerate(stride)]
    grid = Grid(root)
    inside = grid.points((0,) * AXES, ())
    root_skip = skip[tuple(slice(None, None, s) for s in stride)]
    value, last = np.zeros(root, np.int64), 0
    width = bin_width(step_bits, levels[-1][3] if levels else 0)
    for i in np.ndindex(*root):
        if not root_skip[i]:
            last = clamp(last + side.number(root_number) * width)
        value[i] = last
    grid.value[inside] = value
    for l, ((n_level, mask, weight, finer, onward), s) in reversed(list(enumerate(zip(levels, strides)))):
        note(f"{len(mask)} axes")
        here = tuple(a for a in wraps if n[a] % (s[a] * (2 if a in mask else 1)) == 0)
        coarse, grid = grid, Grid(n_level, here, onward)
        even = (0,) * AXES
        for v, c, repeat in ((grid.value, coarse.value, False), (grid.magnitude, coarse.magnitude, True)):
            v[grid.points(even, mask)] = c[coarse.points(even, ())]
            if not repeat and shares:
                known_base = base[tuple(slice(None, None, k) for k in s)]
                known_base = known_base[tuple(slice(None, None, 2 if a in mask else 1) for a in range(AXES))]
                change = share_of(known_base, shares, min(l + 1, len(levels) - 1)) - share_of(known_base, shares, l)
                v[grid.points(even, mask)] = np.clip(v[grid.points(even, mask)] + change, -MOST, MOST)
            grid.extend(v, even, mask, repeat)
        level_skip = skip[tuple(slice(None, None, k) for k in s)]
        known = {even}
        for order, axes in enumerate(cosets(mask)):
            coder(Coset(grid, mask, weight, finer, step_bits, level_skip, order, axes, frozenset(known), max(s)))
            known.add(axes)
    return np.clip(grid.value[grid.points((0,) * AXES, ())] + share_of(base, shares, 0), -MOST, MOST)


class Coset:
    """One coset of a level, and its neighbours. `spacing`: the largest of the level's points in the chunk."""

    def __init__(self, grid, mask, weight, finer, step_bits, level_skip, order, axes, known, spacing):
        self.grid, self.mask, self.weight, self.finer, self.step_bits = grid, mask, weight, finer, step_bits
        self.order, self.axes, self.width, self.spacing = order, axes, bin_width(step_bits, finer), spacing
        self.pairs = Pairs(stencil(grid.reach, mask, weight, axes, known))
        self.skip = level_skip[tuple(slice(c, None, 2 if a in mask else 1) for a, c in enumerate(axes))].reshape(-1)

    def at(self, v, j, sign):
        return v[self.grid.points(self.axes, self.mask, [sign * x for x in self.pairs[j]])].reshape(-1)

    def sums(self, v, j):
        return self.at(v, j, 1) + self.at(v, j, -1)

    @property
    def shape(self):
        return self.grid.value[self.grid.points(self.axes, self.mask)].shape

    def predict(self, short, c):
        v = self.grid.value
        nearest_sum = self.sums(v, 0)
        total = nearest_sum * (2**19 + short) + 2**19
        for j, k in enumerate(c, 1):
            if k:
                total += k * (self.sums(v, j) - nearest_sum)
        return np.clip(total >> 20, -MOST, MOST)

    def contexts(self, weights, prediction, part=slice(None)):
        return find_contexts(self.grid, self.pairs, prediction, self.sums, self.at, weights, self.step_bits, self.finer,
                             part)

    def accept(self, prediction, q):
        grid, most = self.grid, (1 << 29) // self.width
        here = grid.points(self.axes, self.mask)
        value = np.clip(prediction + np.clip(q, -most, most) * self.width, -MOST, MOST)
        shape = self.shape
        grid.value[here] = value.reshape(shape)
        grid.magnitude[here] = np.minimum(abs(value - prediction), 65535).reshape(shape)
        grid.extend(grid.value, self.axes, self.mask, False)
        grid.extend(grid.magnitude, self.axes, self.mask, True)


def walk(n, step_bits, skip, base, learns, side, residuals, note=lambda what: None, shares=(), network=None):
    """The values of a walk [n]. `skip`: bool [n]; `base`: [n] or None; `learns`: places do; `shares`: see climb;
    `network`: None, or what read_network.Network has. `note` is told which ways were taken."""
    schedule = read_schedule(side, n, note)
    note("narrowing" if any(level[3] for level in schedule[0]) else "uniform")
    choices = Choices()
    slowest = next((a for a in range(AXES) if n[a] > 1), AXES - 1) if learns else None
    coder = lambda coset: decode_coset(coset, base is not None, slowest, side, residuals, choices, note, network)
    values = climb(schedule, step_bits, skip, side, Number(), coder, note,
                   np.zeros(n, np.int64) if base is None else base, shares)
    residuals.finish()
    return values


def read_predictor(coset, side, based, choices, note):
    short_and_c = choices.coefficients(side, coset.order, coset.pairs, coset.weight, based, note)
    note(f"variogram {choices.exponent[coset.order]}")
    note(f"nugget {choices.nugget[coset.order]}")
    return short_and_c


def decode_coset(coset, based, slowest, side, residuals, choices, note, network):
    """`slowest`: the axis along which places learn, or None."""
    prediction = coset.predict(*read_predictor(coset, side, based, choices, note))
    if prediction.size >= 300:
        note("weights")
        choices.change_weights(side, coset.order)
    contexts = lambda p, part: coset.contexts(choices.weights[coset.order], p, part)
    planes = 0 if slowest is None or slowest in coset.mask else coset.grid.n[slowest]
    if planes >= 24:
        note("places learn")
        note("skipped places" if coset.skip.any() else "no skipped places")
        taps = [coset.at(coset.grid.value, j, sign) for j in range(min(4, len(coset.pairs))) for sign in (1, -1)]
        prediction, q = learn(prediction, planes, taps, contexts, coset.skip, coset.step_bits, coset.finer, coset.width,
                              side, residuals, choices, note)
    else:
        context = contexts(prediction, slice(None))
        far = choices.how_far(side, note) if network and prediction.size >= 64 else None
        if far:
            prediction, context = ask_network(coset, prediction, np.array(context), network, far, note)
        counts = [0] * 36
        for x, skipped in zip(context, coset.skip):
            counts[x] += not skipped
        table = choices.tables.of_counts(side, suggested_scale, counts, 10, note)
        q = decode_points(context, coset.skip, table, residuals)
    coset.accept(prediction, q)


def blended(context, suggested, blend):
    """`suggested`: contexts, 255 for none; or None."""
    if not suggested:
        return context
    return [x if h == 255 else (x * (8 - blend) + h * blend + 4) >> 3 for x, h in zip(context, suggested)]


def ask_network(coset, prediction, context, network, far, note):
    """(prediction, context) of the coset as they are then."""
    asked = np.flatnonzero(~coset.skip & (context >= network.from_context))
    place = {1: 0, 2: 1, 3: 4}[len(coset.mask)] + coset.order
    view = NetworkView(coset.grid, coset.pairs, prediction, context, coset.sums, coset.at, asked)
    note("network asked of all" if len(asked) == len(context) else "network asked of some")
    return view.follow(network, far, context_origin(coset.step_bits, coset.finer), coset.spacing, place)


def decode_points(context, skip, table, residuals):
    q = np.zeros(len(context), np.int64)
    q[~skip] = residuals.batch([table[x] for x, skipped in zip(context, skip) if not skipped])
    return q


def learn(prediction, planes, taps, contexts_of, skip, step_bits, finer, width, side, residuals, choices, note):
    """(prediction, q) of a coset whose places learn from plane to plane."""
    blend = side.raw(3)
    note("blend" if blend else "no blend")
    table = choices.every_table(side)
    size, q = prediction.size // planes, np.zeros(prediction.size, np.int64)
    shift = step_bits - 4
    scaled = lambda v: np.clip((v + (1 << shift - 1)) >> shift if shift > 0 else v << -shift, -(1 << 15), 1 << 15)
    k, most = len(taps), (1 << 29) // width
    X = np.stack(taps, 1)
    weight = np.zeros((size, k), np.int64)
    A, b = np.zeros((size, k, k), np.int64), np.zeros((size, k), np.int64)
    magnitude, seen, history = np.zeros(size, np.int64), np.zeros(size, np.int64), None
    done = 0
    while done < planes:
        end = done + min(planes - done, max(8, done // 4))
        part = slice(done * size, end * size)
        x = X[part].reshape(-1, size, k)
        plain = prediction[part].copy()
        if done:
            more = ((weight * x).sum(axis=2) + (1 << 15)) >> 16
            prediction[part] = np.clip(plain + more.reshape(-1), -MOST, MOST)
        context = contexts_of(prediction, part)
        context = blended(context, history and [history[i % size] for i in range(len(context))], blend)
        q[part] = decode_points(context, skip[part], table, residuals)
        step = np.clip(q[part], -most, most) * width
        missing = scaled(prediction[part] - plain + step).reshape(-1, size)
        coded = ~skip[part].reshape(-1, size)
        x = np.where(coded[..., None], scaled(x), 0)
        A += np.einsum("tpi,tpj->pij", x, x)
        b += np.einsum("tpi,tp->pi", x, np.where(coded, missing, 0))
        magnitude += np.where(coded, np.minimum(abs(step), 65535).reshape(-1, size), 0).sum(axis=0)
        seen += coded.sum(axis=0)
        history = []
        for p in range(size):
            if seen[p] == 0:
                history.append(255)
                continue
            weight[p] = solve_place(A[p].tolist(), b[p].tolist(), weight[p].tolist())
            mean = divide(16 * int(magnitude[p]) + (64 * width + 25) // 50, int(seen[p]) + 4)
            history.append(context_of(mean, step_bits, finer))
        done = end
    return prediction, q


def solve_place(A, b, weight):
    k = len(b)
    largest = max([1] + [A[j][j] for j in range(k)] + [abs(v) for v in b])
    r = max(0, largest.bit_length() - 30)
    for j in range(k):
        d = (A[j][j] >> r) + (4096 >> r) + 1
        bits = 29 + d.bit_length()
        inverse = (1 << bits) // d
        over = lambda x, s, most: min(max(((x >> r) * inverse) >> (bits - s), -most), most)
        A[j], b[j] = [over(A[j][i], 22, 1 << 30) if i != j else A[j][j] for i in range(k)], over(b[j], 16, 1 << 28)
    for _ in range(8):
        for j in range(k):
            left = (b[j] << 22) - sum(A[j][i] * weight[i] for i in range(k) if i != j)
            weight[j] = min(max((left + (1 << 21)) >> 22, -(1 << 17)), 1 << 17)
    return weight


class Pairs(tuple):
    """Offsets of a stencil (hashable)."""


def expected_from(grid, pairs, prediction, sums, at):
    """The five numbers that say how large a residual may be, of all points of a coset."""
    most = 1 << 24
    v, e = grid.value, grid.magnitude
    nearest_sum = sums(v, 0)
    f = [np.zeros_like(prediction) for _ in range(5)]
    for j in range(min(len(pairs), 12)):
        f[0 if j < 4 else 1] += sums(e, j)
        if j < 6:
            f[2] += np.minimum(abs(sums(v, j) - nearest_sum), most)
        if j < 3:
            f[4] += np.minimum(abs(at(v, j, 1) - at(v, j, -1)), most)
    f[3] = np.minimum(abs(2 * prediction - nearest_sum), most)
    return f


def find_contexts(grid, pairs, prediction, sums, at, weights, step_bits, finer, part):
    """Of a part of a coset."""
    f = expected_from(grid, pairs, prediction, sums, at)
    s = sum(context_weight(w) * x for w, x in zip(weights, f)) >> 12
    return [context_of(x, step_bits, finer) for x in s[part].tolist()]


# ---- series ----------------------------------------------------------------------------------------------------------


class Misses:
    """What the points of a coset were off by in the frames before."""

    def __init__(self):
        self.mean = None

    def suggest(self, coset):
        """A context for each point, or None."""
        if self.mean is None:
            return None
        s = self.mean.reshape(coset.shape)
        for a in (3, 2, 1):
            at = np.arange(s.shape[a])
            s = 2 * s + np.take(s, np.maximum(at - 1, 0), a) + np.take(s, np.minimum(at + 1, at[-1]), a)
        s = (s.reshape(-1) >> 6) + coset.width * 16 // 50
        return [context_of(x, coset.step_bits, coset.finer) for x in s.tolist()]

    def learn(self, coset, q):
        miss = np.minimum(abs(q) * coset.width * 16, 1 << 24)
        self.mean = miss if self.mean is None else (self.mean + miss) >> 1


class SeriesCoder:
    """The cosets of frame after frame."""

    def __init__(self, side, residuals, note):
        self.side, self.residuals, self.note = side, residuals, note
        self.choices, self.said, self.misses = Choices(), [], []

    def begin(self, first):
        """A frame; `first` of a group."""
        self.number, self.first = 0, first
        if first:
            self.said = []

    def __call__(self, coset):
        if self.first:
            predictor = read_predictor(coset, self.side, True, self.choices, self.note)
            blend = self.side.raw(3)
            self.note("blend" if blend else "no blend")
            self.choices.change_weights(self.side, coset.order)
            weights = list(self.choices.weights[coset.order])
            self.said.append((predictor, blend, weights, self.choices.every_table(self.side)))
        if self.number == len(self.misses):
            self.misses.append(Misses())
        (predictor, blend, weights, table), misses = self.said[self.number], self.misses[self.number]
        self.number += 1
        prediction = coset.predict(*predictor)
        context = blended(coset.contexts(weights, prediction), misses.suggest(coset), blend)
        q = decode_points(context, coset.skip, table, self.residuals)
        misses.learn(coset, q)
        coset.accept(prediction, q)


def series(step_bits, skip, known, expect, side, residuals, note=lambda what: None, shares=()):
    """Frames [frames, n], one after the other. `skip`: bool [frames, n]; `known`: frames that come before; `expect`: from
    all frames so far to the base of the next one [n]; `shares`: see climb."""
    schedule = read_schedule(side, skip.shape[1:], note)
    group = side.number(Number(), 1, 2**31 - 1, "a group of frames")
    echo = side.number(Number(), -8, 8, "an echo")
    note("an echo" if echo else "no echo")
    coder, root_number, frames = SeriesCoder(side, residuals, note), Number(), list(known)
    for k, frame_skip in enumerate(skip):
        base = expected = expect(frames)
        if k:
            base = np.clip(expected + ((frames[-1] - before) * echo + 4 >> 3), -MOST, MOST)
        before = expected
        coder.begin(k % group == 0)
        note("a group" if k and k % group == 0 else "a frame")
        frames.append(climb(schedule, step_bits, frame_skip, side, root_number, coder, note, base, shares))
    residuals.finish()
    return frames[len(known):]


# ---- walk: a network -------------------------------------------------------------------------------------------------


def ruler(x, g, most):
    """Lattice units in eighths of the magnitude of half octave g. Arrays."""
    e = 15 - np.maximum(1, g)
    k = e >> 1
    y = np.clip(x >> np.maximum(0, -k - 7), -(1 << 19), 1 << 19) * np.where(e & 1, 181, 128)
    return np.clip(y >> 7 - np.maximum(-7, k), -most, most)


class NetworkView:
    """The points of a coset that a network is asked about. Arrays are of these points, but for prediction and context."""

    def __init__(self, grid, pairs, prediction, context, sums, at, asked):
        self.grid, self.pairs, self.prediction, self.context, self.asked = grid, pairs, prediction, context, asked
        self.sums = lambda v, j: sums(v, j)[asked]
        self.at = lambda v, j, sign: at(v, j, sign)[asked]
        self.expected = [f[asked] for f in expected_from(grid, pairs, prediction, sums, at)]
        self.P, self.c = prediction[asked], context[asked]

    def inputs(self, network, h, spacing, place):
        """[points, inputs]"""
        v, e, known = self.grid.value, self.grid.magnitude, len(self.pairs)
        none = np.zeros_like(self.P)
        x = [ruler(self.sums(v, j) - 2 * self.P, h + 2, 1023) if j < known else none for j in range(network.pairs)]
        x += [ruler(self.at(v, j, 1) - self.at(v, j, -1), h + 2, 1023) if j < known else none
              for j in range(network.differences)]
        x += [ruler(self.at(e, j, sign), h, 255) if j < known else none
              for j in range(network.magnitudes) for sign in (1, -1)]
        x.append(4 * self.c)
        for f in self.expected:
            lies = np.array([half_octaves(16 * s) for s in f.tolist()], np.int64)
            x.append(np.clip(4 * (lies - h), -124, 124))
        x.append(none + 16 * min(8, spacing.bit_length()))
        x += [none + 64 * (k == place) for k in range(11)]
        return np.stack(x, 1)

    def follow(self, network, far, origin, spacing, place):
        """(prediction, context) of the coset."""
        h = np.maximum(6, self.c) + origin
        M, C = network.refine(self.inputs(network, h, spacing, place)).T
        t = h - 1 >> 1
        v = M * far[0] * np.where((h - 1) & 1, 362, 256)
        step = np.where(t < 19, v + (1 << np.maximum(18 - t, 0)) >> np.maximum(19 - t, 0), v << np.maximum(t - 19, 0))
        prediction, context = self.prediction.copy(), self.context.copy()
        prediction[self.asked] = np.clip(self.P + step, -MOST, MOST)
        context[self.asked] = np.clip(self.c + (C * far[1] + 16 >> 5), 0, 35)
        return prediction, context.tolist()


# ---- transform: plan, boxes, scales ----------------------------------------------------------------------------------

EMPTY = frozenset()
LOW = (65536, 46740, 32276, 22588, 15923, 11250, 7953, 5623, 3976)
HIGH = (65536, 73863, 54169, 36945, 25688, 18074, 12763, 9022, 6378)

LOW_GAIN = 330222347  # units of 2^-28, as of the lifting steps (parity of the points, constant)
LIFTING = (0, 119052964), (1, 237004637), (0, -14221742), (1, -425774695)


def read_plan(side, note):
    """[stage][level]: masks as sets of axes, finest level first."""
    stages = 1 + side.raw(2)
    note(f"{stages} stages")
    axes = lambda bits: frozenset(a for a in range(AXES) if bits >> a & 1)
    return [[axes(side.raw(4)) for _ in range(side.raw(5, what="levels"))] for _ in range(stages)]


def subsets(mask):
    """The sets of axes of a level's bands in order, without the low band."""
    every = (frozenset(s) for k in range(1, len(mask) + 1) for s in itertools.combinations(sorted(mask), k))
    return sorted(every, key=lambda s: (len(s), sum(1 << a for a in s)))


class Box:
    """A grid of points and how a stage takes it apart. Its bands have the keys (level, set of axes), its root the key
    (number of levels, EMPTY). What a band is, is in `bands`: a Box; of a part, a Band."""

    def __init__(self, n, plan, inside=None, key=None, note=lambda what: None):
        self.n, self.inside, self.key = n, inside, key
        self.levels, grid = [], n  # of a level: its grid, its mask
        for named in plan[0]:
            mask = frozenset(a for a in named if grid[a] > 1)
            note("an axis left out" if mask != named else "all axes")
            if not mask:
                note("a level left out")
                continue
            self.levels.append((grid, mask))
            grid = tuple((k + 1) // 2 if a in mask else k for a, k in enumerate(grid))
        self.root = len(self.levels), EMPTY
        extents = {self.root: grid}
        for level in reversed(range(len(self.levels))):
            grid, mask = self.levels[level]
            for axes in subsets(mask):
                extents[level, axes] = tuple(k if a not in mask else k // 2 if a in axes else (k + 1) // 2
                                             for a, k in enumerate(grid))
        self.is_part = len(plan) == 1
        self.bands = {k: Band(e) if self.is_part else Box(e, plan[1:], self, k, note) for k, e in extents.items()}

    @property
    def is_first(self):
        """Whether it is the whole grid, or its root, or the root of that ..."""
        return self.inside is None or (self.key == self.inside.root and self.inside.is_first)

    def parts(self):
        """The parts, in order."""
        if self.is_part:
            yield self
        else:
            for box in self.bands.values():
                yield from box.parts()

    def above(self):
        """The box above this one and the mask of the level that it is of; or None."""
        if self.inside is None:
            return None
        level, axes = self.key
        if self.key == self.inside.root:
            found = self.inside.above()
            return found and (found[0].bands[found[0].root], found[1])
        coarser = self.inside.bands.get((level + 1, axes))
        return coarser and (coarser, self.inside.levels[level + 1][1])

    def factor(self, key):
        """F of a band."""
        last, axes = key
        v = 1 << 16
        for a in range(AXES):
            d = sum(a in mask for _, mask in self.levels[:last + 1])
            v = v * factor_of_axis(HIGH if a in axes else LOW, d) >> 16
            if key != self.root and a in self.levels[last][1] - axes:
                v = v * LOW_GAIN >> 28
        return max(1, v)

    def norm(self):
        """N of the box."""
        return self.inside.norm() * self.inside.factor(self.key) >> 16 if self.inside else 1 << 16


def factor_of_axis(table, d):
    t = table[min(d, 8)]
    for _ in range(d - 8):
        t = max(1, t * 46341 >> 16)
    return t


def band_step(step, fraction, part, key):
    """In units of 2^-fraction lattice units."""
    n = max(1, part.norm() * part.factor(key) >> 16)
    return min(max((step * 2**fraction * n) >> 24, 1), 1 << 30)


# ---- transform: coefficients -----------------------------------------------------------------------------------------


class Band:
    """Coefficients (before the step) and their magnitudes. Arrays of the extents n."""

    def __init__(self, n):
        self.n = n

    def fill(self, q):
        self.q = np.array(q, np.int64).reshape(self.n)
        self.magnitude = np.minimum(abs(self.q), 16383)

    def sums(self, n, halved, sister=False):
        """What this band adds to two sums of magnitudes, at the point and beside it, for all points of a band of the
        extents n. halved: the axes along which this band is coarser."""
        at = [np.arange(k) // 2 if a in halved else np.arange(k) for a, k in enumerate(n)]
        inside = at[3] < self.n[3] if sister else np.ones(n[3], bool)
        at = np.ix_(*[np.minimum(j, k - 1) + 1 for j, k in zip(at, self.n)])
        padded = np.zeros([k + 2 for k in self.n], np.int64)
        padded[1:-1, 1:-1, 1:-1, 1:-1] = self.magnitude
        beside = np.zeros(n, np.int64)
        for a in range(AXES):
            for d in (-1, 1) if self.n[a] > 1 else ():
                beside += padded[*at[:a], at[a] + d, *at[a + 1:]]
        return padded[at] * inside, beside * inside


def own_offsets(n):
    """For f0 and f1: offsets in the padded band, as flat indices; and the padded extents (two zeros before, one
    after)."""
    e = np.eye(AXES, dtype=int)
    near = [-e[a] for a in range(AXES)]
    far = [-2 * e[3]]
    for a in range(3):
        far += [-e[a] - e[3], -e[a] + e[3]]
        for b in range(a + 1, 3):
            far += [-e[a] - e[b], -e[a] + e[b]]
    shape = [k + 3 for k in n]
    stride = [math.prod(shape[a + 1:]) for a in range(AXES)]
    flat = lambda offsets: [int(o @ stride) for o in offsets if not any(x and k == 1 for x, k in zip(o, n))]
    return flat(near), flat(far), shape


def coefficient_weight(index):
    return (256, 362)[(index + 1) % 2] >> (18 - index) // 2 if index else 0


def coefficient_context(s):
    t = s.bit_length() - 1
    return min(max(2 * t + (s * s >= 2 ** (2 * t + 1)) - 2, 0), 35)


class Coefficients:
    """Decodes the coefficients of bands, one band after the other."""

    def __init__(self, side, residuals, note):
        self.side, self.residuals, self.note = side, residuals, note
        self.run_number, self.value_number = Number(), Number()
        self.run = None  # quiet points of value 0 that are still to come; None: a run begins with the next quiet point

    def read_weights(self, levels):
        """[level][8], of the levels 0 ... levels."""
        number, last, found = Number(), [13, 10, 11, 8, 9, 6, 9, 6], []
        for _ in range(levels + 1):
            last = [w + self.side.number(number, -w, 17 - w, "a context weight") for w in last]
            found.append([coefficient_weight(w) for w in last])
        self.weights = found[::-1]

    def read_tables(self):
        choices = TableChoices()
        self.tables = [choices.sent(self.side, 18 + 2 * (c - 14) + 1)
                       for c in range(self.side.raw(6, 36, "the number of tables"))]
        for shape, scale in self.tables:
            self.note(f"shape {shape}")
            self.note("low bits" if scale > 30 else "no low bits")

    def first_root(self, band):
        number, q, last = Number(), [], 0
        for _ in range(math.prod(band.n)):
            last += self.side.number(number, -2**30 - last, 2**30 - last, "a root")
            q.append(last)
        band.fill(q)

    def quiet(self):
        if self.run is None:
            self.run = self.side.number(self.run_number, 0, what="a run")
            self.note("a run" if self.run else "an empty run")
        if self.run:
            self.run -= 1
            return 0
        self.run = None
        v = self.side.number(self.value_number, -2**30, 2**30 - 1, "a quiet value")
        self.note("a quiet value")
        return v + 1 if v >= 0 else v

    def band(self, part, key):
        """Decodes the band `key` of a part."""
        level, axes = key
        band, w, n = part.bands[key], self.weights[level], part.bands[key].n
        known = np.zeros(n, np.int64)
        for k, other, halved, sister in neighbours(part, key):
            at, beside = other.sums(n, halved, sister)
            known += w[k] * at + w[k + 1] * beside
            self.note({2: "a parent", 4: "a sister", 6: "a band above"}[k])
            if sister and other.n[3] < n[3]:
                self.note("a sister that ends before")
            if k == 6 and part.key == part.inside.root:
                self.note("a band above a root")
        near, far, shape = own_offsets(n)
        places = np.arange(math.prod(shape)).reshape(shape)[2:-1, 2:-1, 2:-1, 2:-1]
        magnitude, q = [0] * math.prod(shape), []
        for place, s in zip(places.reshape(-1).tolist(), known.reshape(-1).tolist()):
            s += w[0] * sum([magnitude[place + d] for d in near]) + w[1] * sum([magnitude[place + d] for d in far])
            if s:
                context = coefficient_context(s)
                require(context < len(self.tables), "a context has no table")
                v = self.residuals.next(self.tables[context])
            else:
                v = self.quiet()
            magnitude[place] = min(abs(v), 16383)
            q.append(v)
        band.fill(q)

    def finish(self):
        require(not self.run, "a run is longer than the quiet points")
        if self.run is not None:
            self.note("a run to the end")


def neighbours(part, key):
    """The other bands that a band's contexts look at: (number of the sum, band, axes along which it is coarser, whether
    it is a sister)."""
    level, axes = key
    if level < len(part.levels):
        if level + 1 < len(part.levels):
            mask = part.levels[level + 1][1]
            if axes & mask:
                yield 2, part.bands[level + 1, axes & mask], mask, False
        for other in itertools.takewhile(lambda s: s != axes, subsets(part.levels[level][1])):
            yield 4, part.bands[level, other], EMPTY, True
    if part.above():
        other, mask = part.above()
        there = len(other.levels) - (len(part.levels) - level), axes
        if there in other.bands and not (there == other.root and other.is_first):
            yield 6, other.bands[there], mask, False


# ---- transform: synthesis, outliers ----------------------------------------------------------------------------------


def wrap(x):
    """Modulo 2^32, into 32 signed bits."""
    return ((x + 2**31) & (2**32 - 1)) - 2**31


def scaled(x, c):
    return (x * c + (1 << 27)) >> 28


def dequantise(q, step, shifts):
    magnitude = abs(q)
    h = np.where(magnitude == 1, divide(shifts[0] * step, 64), divide(shifts[1] * step, 64))
    return np.where(q == 0, 0, np.sign(q) * np.minimum(magnitude * step - h, 1 << 30))


def neighbour_indices(n, i):
    """The neighbours before and after of the points i of a line of n points, the other one where one does not exist."""
    return np.where(i > 0, i - 1, i + 1), np.where(i + 1 < n, i + 1, i - 1)


def lift(x):
    """The lifting steps along the last axis."""
    n = x.shape[-1]
    for parity, c in LIFTING:
        i = np.arange(parity, n, 2)
        before, after = neighbour_indices(n, i)
        x[..., i] = wrap(x[..., i] - scaled(wrap(x[..., before] + x[..., after]), c))


def assemble(box, values):
    """The points of a box, the values of whose bands are values(key). Integers of the box's extents."""
    x = values(box.root)
    for level in reversed(range(len(box.levels))):
        grid, mask = box.levels[level]
        for _ in mask:
            x = wrap(scaled(x, LOW_GAIN))
        whole = np.zeros(grid, np.int64)
        for axes in [EMPTY, *subsets(mask)]:
            where = tuple(slice(int(a in axes), None, 2) if a in mask else slice(None) for a in range(AXES))
            whole[where] = values((level, axes)) if axes else x
        for a in sorted(mask):
            lift(np.moveaxis(whole, a, -1))  # a view
        x = whole
    return x


def synthesise(box, steps, shifts):
    """The points of a box. steps: [part][key]."""
    if not box.is_part:
        return assemble(box, lambda key: synthesise(box.bands[key], steps, shifts))
    of = lambda key: (0, 0) if box.is_first and key == box.root else shifts
    return assemble(box, lambda key: dequantise(box.bands[key].q, steps[box][key], of(key)))


def roughness(x):
    total = np.zeros_like(x)
    for a, n in enumerate(x.shape):
        if n > 1:
            before, after = neighbour_indices(n, np.arange(n))
            second = np.take(x, before, a) - 2 * x + np.take(x, after, a)
            total += np.minimum(abs(second), MOST)
    return total


def correct_outliers(x, step_bits, skip, side, residuals, note):
    contexts = [min(35, s.bit_length()) for s in roughness(x)[~skip].tolist()]
    counts = [0] * 36
    for c in contexts:
        counts[c] += 1
    table = TableChoices().of_counts(side, lambda context: 6, counts, 1, note)
    x = x.copy()
    x[~skip] += np.array(residuals.batch([table[c] for c in contexts]), np.int64) << step_bits
    return np.clip(x, -MOST, MOST)


def transform(n, step_bits, skip, side, residuals, note=lambda what: None):
    """The points of a transform [n]. `skip`: bool [n]. `note` is told which ways were taken."""
    top = Box(tuple(n), read_plan(side, note), note=note)
    parts = list(top.parts())
    fraction = side.raw(3, 6, "the fraction")
    note(f"fraction {fraction}")
    step = side.raw(11)
    step = step << side.raw(5, what="the power of the step") & (2**32 - 1)
    steps = {p: {k: band_step(step, fraction, p, k) for k in p.bands} for p in parts}

    coefficients = Coefficients(side, residuals, note)
    coefficients.read_weights(max(len(p.levels) for p in parts))
    coefficients.read_tables()
    coefficients.first_root(parts[0].bands[parts[0].root])
    residuals.begin()
    for p in parts:
        for key in p.bands:
            if not (p.is_first and key == p.root):
                coefficients.band(p, key)
    coefficients.finish()

    shifts = side.raw(5) - 16, side.raw(5) - 16
    x = synthesise(top, steps, shifts)
    x = np.clip((x + (1 << fraction >> 1)) >> fraction, -MOST, MOST)
    corrected = side.raw(1)
    note("corrected" if corrected else "not corrected")
    if corrected:
        if skip.any():
            note("corrected but where skipped")
        x = correct_outliers(x, step_bits, skip, side, residuals, note)
    residuals.finish()
    if residuals.escapes:
        note("escapes")
    return x


# ---- kinds -----------------------------------------------------------------------------------------------------------


def side_and_residuals(section, note):
    r = Bytes(section)
    side = r.take(r.varint())
    data = r.rest()
    if data:
        note(f"{(1, 4, 32, 0)[data[0] & 3]} lanes")
    return BitStream(side), Residuals(data)


def skipped(h, classes):
    """bool, of the folded extents: the points for which a walk sends nothing."""
    n = fold(h.extents)
    return np.zeros(n, bool) if classes is None else (classes != 0).reshape(n)


def walk_section(section, n, step_bits, skip, base, learns, note, network=None, shares=()):
    side, residuals = side_and_residuals(section, note)
    return walk(n, step_bits, skip, base, learns, side, residuals, note, shares, network)


def read_walk(r, h, step_bits, classes, base_of, network, note):
    n, skip = fold(h.extents), skipped(h, classes)
    head = r.get("B")
    reference, learns = head & ~8, bool(head & 8)
    require(reference <= AXES and (reference or not head), "its reference is unknown")
    require(not (network and h.latents), "latents of a network")
    of_model = h.model and not network
    require(not (reference and of_model), "both a model's field and a reference")
    base = base_of(h).reshape(n) if of_model else None
    if reference:
        axis = reference - 1
        note("reference and network" if network else "reference")
        base = walk_section(r.take(r.varint()), [1 if a == axis else k for a, k in enumerate(n)],
                            max(0, step_bits - 3), skip.all(axis=axis, keepdims=True), None, False, note)
        base = np.broadcast_to(base, n)
    return walk_section(r.rest(), n, step_bits, skip, base, learns, note, network).reshape(-1)


def read_transform(r, h, step_bits, classes, base_of, frames_of, note):
    skip = skipped(h, classes)
    points = transform(skip.shape, step_bits, skip, *side_and_residuals(r.rest(), note), note).reshape(-1)
    if not h.model:
        return points
    if frames_of is None:
        return np.clip(points + base_of(h), -MOST, MOST)
    model, found = frames_of(h), []
    require(model.levels is None, "frames of a transform stand in another order")
    for rest in points.reshape([k for k in h.extents if k > 1]):
        expected = model.predict(found) if found else model.offset
        found.append(np.clip(rest + expected, -MOST, MOST))
    note("frames of a transform")
    return np.stack(found).reshape(-1)


class FrameSections:
    """The parts of a payload of kind frames, one after the other."""

    def __init__(self, r, note):
        self.r, self.note = r, note

    def shares(self):
        given = self.r.take(self.r.varint())
        require(all(share <= 8 for share in given), "a share is out of range")
        return tuple(given)

    def section(self, decode, last=False):
        """What decode(side, residuals) makes of the next one, which goes to the end if it is the last."""
        return decode(*side_and_residuals(self.r.rest() if last else self.r.take(self.r.varint()), self.note))

    def finish(self):
        require(not self.r.rest(), "frames end before their section")


def frames(sections, extents, step_bits, skip, model, note=lambda what: None):
    """The points [extents] of a series. `extents`: time, then space; `skip`: bool [extents]; `model`: how frames are
    predicted (read_frames.py)."""
    count, n = extents[0], (1,) * (AXES + 1 - len(extents)) + tuple(extents[1:])
    skip = skip.reshape(count, *n)
    found = [None] * count

    def shares():
        given = sections.shares()
        for share in given:
            note(f"share {share}")
        return given

    def stack(which, base=None, taken=()):
        """Frames coded by one walk."""
        some = next(a for a in range(AXES) if n[a] > 1) - 1  # the axis that counts them
        grid = [len(which) if a == some else k for a, k in enumerate(n)]
        base = None if base is None else np.stack(base).reshape(grid)
        values = sections.section(lambda side, residuals: walk(
            grid, step_bits, skip[list(which)].reshape(grid), base, False, side, residuals, note, taken))
        for t, frame in zip(which, values.reshape(-1, *n)):
            found[t] = frame

    if model.levels is None:
        note("causal")
        stack(range(1))
        taken = shares()
        found[1:] = sections.section(lambda side, residuals: series(step_bits, skip[1:], found[:1], model.predict, side,
                                                                    residuals, note, taken), True)
        return np.stack(found).reshape(extents)
    for level in range(model.levels, -1, -1):
        note("kept" if level == model.levels else "between")
        apart = 1 << level
        which = range(0, count, apart) if level == model.levels else range(apart, count, 2 * apart)
        if level == model.levels:
            stack(which)
        elif which:
            after = lambda t: t + apart if t + apart < count else t - apart
            stack(which, [model.between(found[t - apart], found[after(t)]) for t in which], shares())
    sections.finish()
    return np.stack(found).reshape(extents)


def read_frames(r, h, step_bits, classes, model, note):
    extents = [k for k in h.extents if k > 1]
    skip = np.zeros(h.count, bool) if classes is None else classes != 0
    return frames(FrameSections(r, note), extents, step_bits, skip.reshape(extents), model, note).reshape(-1)


def unzstd(frame, size):
    try:
        data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as e:
        raise Damaged("a zstd frame") from e
    require(len(data) == size, "a zstd frame has a wrong size")
    return data


def read_repeats(r, h, note):
    form = r.get("B")
    require(form <= 7 and form & 3 < 3, "its form is unknown")
    note(f"repeats form {form}")
    number = "<i4" if form & 4 else "<i2"
    points = np.frombuffer(unzstd(r.rest(), h.count * int(number[2])), number).astype(np.int64)
    back = {0: 0, 1: 1, 2: h.extents[-1]}[form & 3]
    if back:
        padded = np.zeros(-(-h.count // back) * back, np.int64)
        padded[:h.count] = points
        points = padded.reshape(-1, back).cumsum(axis=0).reshape(-1)[:h.count]
    return points.astype(np.uint32).astype(np.int32).astype(np.int64)  # modulo 2^32


def read_lossless(h, note):
    form = h.corrections[:1]
    require(form in (b"\0", b"\1", b"\2"), "its lossless form is unknown")
    note(f"lossless form {form[0]}")
    data = np.frombuffer(unzstd(h.corrections[1:], h.count * h.size), np.uint8)
    if form[0]:
        data = np.ascontiguousarray(data.reshape(h.size, h.count).T)
    words = data.reshape(-1).view(h.word)
    return np.cumsum(words, dtype=h.word) if form[0] == 2 else words.copy()


def read_values(h, note=lambda what: None, base_of=None, network=None, frames_of=None):
    """The bits of the decoded values, not yet held against their hash. Integers [count]. The last three: see
    read_payload."""
    if h.kind == RAW:
        require(len(h.corrections) == h.count * h.size, "its raw values have a wrong size")
        return np.frombuffer(h.corrections, h.word)
    if h.kind == LOSSLESS:
        return read_lossless(h, note)
    specials = Specials(h.specials, h)
    if h.kind == CONSTANT:
        require(len(h.corrections) == h.size, "its constant has a wrong size")
        words = np.repeat(np.frombuffer(h.corrections, h.word), h.count)
    else:
        r = Bytes(h.corrections)
        lattice = Lattice(r)
        note(f"domain {lattice.domain}")
        served = {WALK: base_of or network, TRANSFORM: base_of or frames_of, FRAMES: frames_of}
        if h.model and not served.get(h.kind, True):
            raise NeedsModel(f"{h.model:016x}")
        if h.kind == WALK:
            points = read_walk(r, h, lattice.step_bits, specials.classes, base_of, network if h.model else None, note)
        elif h.kind == FRAMES:
            points = read_frames(r, h, lattice.step_bits, specials.classes, frames_of(h), note)
        elif h.kind == TRANSFORM:
            points = read_transform(r, h, lattice.step_bits, specials.classes, base_of, frames_of, note)
        else:
            points = read_repeats(r, h, note)
        words = lattice_values(lattice, points, h.size)
    specials.apply(words)
    for what in ("patterns", "literals", "outliers"):
        if getattr(specials, what):
            note(what)
    return words


def read_payload(payload, note=lambda what: None, base_of=None, network=None, frames_of=None):
    """The chunk's bytes, in the byte order of the writer. `base_of`: from a header to its model's base, lattice points
    [count]; `network`: its model where that is one (read_network.py); `frames_of`: from a header to how its model
    predicts frames (read_frames.py)."""
    h = Header(payload)
    words = read_values(h, note, base_of, network, frames_of)
    require(low_hash(words.astype(h.word).tobytes()) == h.values_hash, "the hash of the values")
    return words.astype(h.word.newbyteorder(">" if h.big_endian else "<")).tobytes()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
        target.write(read_payload(source.read()))
