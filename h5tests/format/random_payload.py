"""Random payloads that keep docs/format.md: the reader of read_payload.py is run on streams that answer with random
decisions and write down what they answered. So every way that the format allows is taken, the ones that no writer of
today takes too. May not import anything of the engine.
"""
import bisect
import hashlib
import math
import random
import struct

import numpy as np

import read_frames
import read_payload as rp


def varint(v):
    out = bytearray()
    while v >= 128:
        out.append(v & 127 | 128)
        v >>= 7
    return bytes(out + bytes([v]))


def short_double(x):
    """The upper bits of a positive double, rounded down."""
    return (struct.unpack("<Q", struct.pack("<d", x))[0] >> 39).to_bytes(3, "little")


def zigzag(v):
    return varint(2 * v if v >= 0 else -2 * v - 1)


class RandomBits:
    """In the place of a BitStream: answers at random, keeps what was said as one large number."""

    def __init__(self, rng, ones=0.5):
        self.rng, self.ones = rng, ones
        self.low, self.range, self.shifts = 0, 2**32 - 1, 0

    def put(self, bit, zero, one):
        self.low += zero if bit else 0
        self.range = one if bit else zero
        while self.range < 1 << 24:
            self.range, self.low, self.shifts = self.range << 8, self.low << 8, self.shifts + 1
        return bit

    def put_bit(self, model, bit):
        bound = (self.range >> 12) * model.p
        self.put(bit, bound, self.range - bound)
        model.update(bit)

    def put_raw(self, v, count):
        for i in reversed(range(count)):
            self.put(v >> i & 1, self.range >> 1, self.range >> 1)

    def bit(self, model):
        bit = int(self.rng.random() < self.ones)
        self.put_bit(model, bit)
        return bit

    def raw(self, count, most=None, what=""):
        v = self.rng.randrange((1 << count) if most is None else most + 1)
        if what == "levels":  # few levels keep the boxes large enough to look at each other
            v = min(v, self.rng.choice((0, 1, 2, 3, 5, 31)))
        if what == "the power of the step":  # large steps leave nothing but clamped points
            v = min(v, self.rng.choice((0, 4, 9, 16, 31)))
        if what == "the number of tables" and self.rng.random() < 0.8:
            v = most
        self.put_raw(v, count)
        return v

    def number(self, m, low=-2**31, high=2**31 - 1, what=""):
        low, high = max(low, -2**31 + 1), min(high, 2**31 - 1)
        if what == "how far a network is followed":
            v = self.rng.randint(low, high)
        else:
            spread = self.rng.choice((0.5, 3, 40, high - low if self.rng.random() < 0.05 else 2))
            v = min(max(round(self.rng.gauss(0, spread)), low), high)
        self.put_number(m, v)
        return v

    def put_number(self, m, v):
        self.put_bit(m.zero, v != 0)
        if v:
            self.put_bit(m.sign, v < 0)
            b = abs(v).bit_length() - 1
            for i in range(b):
                self.put_bit(m.prefix[i], 1)
            if b < 31:
                self.put_bit(m.prefix[b], 0)
            if b > 0:
                self.put_bit(m.mantissa[b], abs(v) >> (b - 1) & 1)
            if b > 1:
                self.put_raw(abs(v) & (1 << (b - 1)) - 1, b - 1)

    def finish(self):
        whole = self.low.to_bytes(4 + self.shifts, "big")
        return whole[:-16] + whole[-16:].rstrip(b"\0")


class RandomRaw:
    """In the place of RawBits."""

    def __init__(self, rng):
        self.rng, self.value, self.count = rng, 0, 0

    def take(self, k):
        v = self.rng.getrandbits(k) if k else 0
        self.value |= v << self.count
        self.count += k
        return v

    def stream(self):
        return self.value.to_bytes((self.count + 7) // 8, "little")


class RandomResiduals(rp.Residuals):
    """In the place of Residuals: symbols as likely as their tables say."""

    def __init__(self, rng):
        self.rng, self.raw, self.states, self.batches = rng, RandomRaw(rng), [None], []

    def begin(self):
        self.batches.append([])
        super().begin()

    def symbol(self, table, lane):
        s = bisect.bisect_right(table.start, self.rng.randrange(4096)) - 1
        self.batches[-1].append((table.start[s], table.frequency[s]))
        return s

    def finish(self):
        pass

    def stream(self):
        if not any(self.batches):
            return b""
        code = self.rng.randrange(3)
        states, words = [1 << 16] * (1, 4, 32)[code], []
        for steps in reversed(self.batches):
            for i in reversed(range(len(steps))):
                start, frequency = steps[i]
                x = states[i % len(states)]
                if x >= frequency << 20:
                    words.append(x & 0xFFFF)
                    x >>= 16
                states[i % len(states)] = (x // frequency << 12) + x % frequency + start
        raw = self.raw.stream()
        head = bytes([code | (128 if raw else 0)]) + (varint(len(raw)) + raw if raw else b"")
        return head + struct.pack(f"<{len(states)}I{len(words)}H", *states, *reversed(words))


def section(rng, decode):
    """Side information and residuals, as decode(side, residuals) reads them."""
    for _ in range(1000):  # until no limit is broken, such as a walk's masks that must name one to three axes
        side, residuals = RandomBits(rng, rng.choice((0.5, 0.7, 0.95))), RandomResiduals(rng)
        try:
            decode(side, residuals)
        except rp.Damaged:
            continue
        coded = side.finish()
        return varint(len(coded)) + coded + residuals.stream()
    raise AssertionError("no section found")


def walk_section(rng, n, step_bits, skip, based, learns, network=None):
    base = np.zeros(n, np.int64) if based else None
    return section(rng, lambda side, residuals: rp.walk(n, step_bits, skip, base, learns, side, residuals,
                                                        network=network))


def walk_corrections(rng, n, step_bits, skip, stack, network):
    reference = rng.choice((1, 2, 3, 4) if stack else (0, 0, 1, 2, 3, 4))
    learns = reference > 0 and (stack or rng.random() < 0.5)
    corrections = bytes([reference | 8 * learns])
    if reference:
        axis = reference - 1
        coded = walk_section(rng, [1 if a == axis else k for a, k in enumerate(n)], max(0, step_bits - 3),
                             skip.all(axis=axis, keepdims=True), False, False)
        corrections += varint(len(coded)) + coded
    return corrections + walk_section(rng, n, step_bits, skip, bool(reference), learns, network)


def transform_corrections(rng, n, step_bits, skip):
    return section(rng, lambda side, residuals: rp.transform(n, step_bits, skip, side, residuals))


def specials_section(rng, extents, size):
    """(section, classes or None)"""
    word = "<I" if size == 4 else "<Q"
    bits = lambda n: b"".join(struct.pack(word, rng.getrandbits(8 * size)) for _ in range(n))
    count = math.prod(extents)
    patterns = rng.choice((0, 0, 1, 3, 200))
    classes, literals, coded = None, 0, b""
    if patterns:
        stream = RandomBits(rng, rng.choice((0.05, 0.3, 0.6)))
        classes = rp.read_classes(stream, extents, patterns)
        literals, coded = int((classes == patterns + 1).sum()), stream.finish()
    places = sorted(rng.sample(range(count), rng.choice((0, min(3, count)))))
    outliers = b"".join(varint(at - before - 1) + bits(1) for before, at in zip([-1, *places], places))
    if not patterns and not places and rng.random() < 0.5:
        return b"", None
    return varint(patterns) + bits(patterns) + varint(literals) + bits(literals) + varint(len(places)) + outliers + \
        coded, classes


def random_extents(rng):
    rank = rng.randint(1, 8)
    most = rng.choice((30, 400, 2500))
    extents = [1] * rank
    for a in rng.sample(range(rank), rank):
        extents[a] = rng.randint(1, max(1, min(most // math.prod(extents), rng.choice((3, 9, 40, most)))))
    return extents


def payload(seed, transform=False, network=None):
    """A payload of kind walk or transform, its hash and checksum as the reader of read_payload.py says. `network`: the
    model of a walk, a read_network.Network."""
    rng = random.Random(seed)
    stack = not transform and rng.random() < 0.4
    extents = [rng.randint(24, 50), rng.randint(1, 6), rng.randint(2, 8)] if stack else random_extents(rng)
    n, word = rp.fold(extents), rng.choice((1, 2))
    size, domain, step_bits = 4 * word, rng.choice((0, 1)), rng.randint(0, 4)
    specials, classes = specials_section(rng, extents, size)
    if domain == 0:
        unit = short_double(rng.uniform(1, 2) * 2.0**rng.randint(-40, 20))
        origin = rng.choice((0, rng.randint(-2**20, 2**20), rng.choice((-1, 1)) * 2**51))
    else:
        unit, origin = varint(rng.choice((1, rng.getrandbits(12) + 1, 2**63 - 1))), rng.randint(-2**63, 2**63 - 1)
    corrections = bytes([domain << 4 | step_bits]) + unit + zigzag(origin)
    skip = np.zeros(n, bool) if classes is None else (classes != 0).reshape(n)
    corrections += transform_corrections(rng, n, step_bits, skip) if transform else \
        walk_corrections(rng, n, step_bits, skip, stack, network)
    follows = (1 if network else 0) | (2 if specials else 0)
    head = bytes([1 | len(extents) - 1 << 3 | (word - 1) << 6 | rng.choice((0, 128)), follows])
    head += b"".join(map(varint, extents)) + varint(1)
    head += struct.pack("<Q", network.weights.hash) + varint(0) if network else b""
    head += varint(len(specials)) if specials else b""
    kind = rp.TRANSFORM if transform else rp.WALK
    return seal(bytes([*b"hN", 16 | kind]) + bytes(8) + head + specials + corrections, network)


class RandomFrames:
    """In the place of the sections of a payload of kind frames, as read_frames asks for them: what it is given, it
    remembers."""

    def __init__(self, rng):
        self.rng, self.out = rng, b""

    def shares(self):
        given = bytes(self.rng.randint(0, 8) for _ in range(self.rng.choice((0, 1, 3, 12))))
        self.out += varint(len(given)) + given
        return tuple(given)

    def section(self, decode, last=False):
        """A walk or a series, as decode(side, residuals) reads it. Returns what it decodes to."""
        decoded = []
        coded = section(self.rng, lambda side, residuals: decoded.append(decode(side, residuals)))
        self.out += coded if last else varint(len(coded)) + coded
        return decoded[-1]

    def finish(self):
        pass


def frames_payload(seed, weights):
    """A payload of kind frames under these weights, its hash and checksum as the readers here say."""
    rng = random.Random(seed)
    extents = [rng.randint(3, 9), rng.randint(8, 14), rng.randint(8, 14)]
    specials, classes = specials_section(rng, extents, 4)
    step_bits = rng.randint(0, 4)
    between = rng.random() < 0.5
    latents = bytes([between + 2 * rng.randint(0, 3), rng.randint(0, 40)]) + \
        struct.pack("<H", rng.randint(1 << 13, (1 << 14) - 1)) + zigzag(rng.choice((0, rng.randint(-2**28, 2**28))))
    latents += bytes([rng.randint(1, 5)]) if between else b""
    model = read_frames.Frames(weights, latents)
    skip = np.zeros(extents, bool) if classes is None else (classes != 0).reshape(extents)
    sections = RandomFrames(rng)
    rp.frames(sections, extents, step_bits, skip, model)
    corrections = bytes([step_bits]) + short_double(rng.uniform(1, 2) * 2.0**rng.randint(-40, 20)) + zigzag(0) + sections.out
    with open(weights, "rb") as f:
        name = struct.unpack(">Q", hashlib.sha256(f.read()).digest()[:8])
    head = bytes([1 | 2 << 3, 3 if specials else 1]) + b"".join(map(varint, extents)) + varint(1) + \
        struct.pack("<Q", *name) + varint(len(latents)) + (varint(len(specials)) if specials else b"")
    return seal(bytes([*b"hN", 16 | rp.FRAMES]) + bytes(8) + head + latents + specials + corrections,
                frames_of=lambda h: model)


def with_checksum(payload):
    return payload[:3] + rp.checksum(payload) + payload[7:]


def seal(damaged, network=None, frames_of=None):
    """The payload with the hash of its values and its checksum made right. Raises Damaged when it does not decode."""
    h = rp.Header(with_checksum(damaged))
    words = rp.read_values(h, network=network, frames_of=frames_of).astype(h.word)
    return with_checksum(damaged[:7] + struct.pack("<I", rp.low_hash(words.tobytes())) + damaged[11:])
