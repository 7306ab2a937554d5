#!/usr/bin/env python3
"""The known answer of the integer programs (engine/exact/known_answer.cc), worked out with Python's own integers.

Prints the constant that stands there as kAnswer. Written from docs/weights-format.md, not from the interpreter.
"""


import itertools
import math


class Generator:
    """Knuth's MMIX linear congruential generator."""

    def __init__(self):
        self.state = 41017

    def draw(self, lo, hi):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return lo + (self.state >> 33) % (hi - lo + 1)

    def array(self, count, lo, hi):
        return [self.draw(lo, hi) for _ in range(count)]


def linear(x, w, b):
    n = len(x)
    y = [b[o] + sum(w[o * n + k] * x[k] for k in range(n)) for o in range(len(b))]
    assert all(abs(v) < 2**31 for v in y)
    return y


def positions(extents):
    return itertools.product(*(range(n) for n in extents))


def conv(x, extents, channels, w, kernel, b, stride, before, after):
    """Weights [outputs, *kernel, channels]. Returns the result and its extents."""
    out = [(n + p + q - k) // s + 1 for n, p, q, k, s in zip(extents, before, after, kernel, stride)]
    value = dict(zip(positions(extents), (x[i:i + channels] for i in range(0, len(x), channels))))
    y = []
    for q in positions(out):
        for o, bias in enumerate(b):
            total = bias
            for t, tap in enumerate(positions(kernel)):
                at = value.get(tuple(i * s + k - p for i, s, k, p in zip(q, stride, tap, before)))
                first = (o * math.prod(kernel) + t) * channels
                total += 0 if at is None else sum(w[first + c] * at[c] for c in range(channels))
            y.append(total)
    assert all(abs(v) < 2**31 for v in y)
    return y, out


def conv_transposed(x, extents, channels, w, kernel, b, stride, before, after):
    out = [(n - 1) * s + k - p - q for n, p, q, k, s in zip(extents, before, after, kernel, stride)]
    y = {q: list(b) for q in positions(out)}
    for i, at in enumerate(positions(extents)):
        for t, tap in enumerate(positions(kernel)):
            to = y.get(tuple(n * s + k - p for n, s, k, p in zip(at, stride, tap, before)))
            for o in range(len(b)) if to is not None else ():
                first = (o * math.prod(kernel) + t) * channels
                to[o] += sum(w[first + c] * x[i * channels + c] for c in range(channels))
    return [v for q in positions(out) for v in y[q]], out


def clamp(x, lo, hi):
    return [min(max(v, lo), hi) for v in x]


def requantise(x, multipliers, shift, lo, hi):
    half = 2 ** (shift - 1) if shift else 0
    return clamp([(v * multipliers[i % len(multipliers)] + half) // 2**shift for i, v in enumerate(x)], lo, hi)


def main():
    g = Generator()
    w0, b0, m0 = g.array(21 * 19, -30000, 30000), g.array(21, -1000000, 1000000), g.array(21, 100, 200)
    w1, b1, table = g.array(12 * 21, -128, 127), g.array(12, -1000, 1000), g.array(256, -1000, 1000)
    w2, b2 = g.array(7 * 45, -1400, 1400), g.array(7, -1000000, 1000000)
    w3, b3, m3 = g.array(18 * 3 * 2 * 3, -128, 127), g.array(18, -100000, 100000), g.array(18, 50, 150)
    w4, b4 = g.array(5 * 3 * 2 * 18, -5000, 5000), g.array(5, -1000000, 1000000)
    w5, b5 = g.array(17 * 5, -60, 60), g.array(17, -1000, 1000)
    w6, b6 = g.array(2 * 2 * 3 * 17, -128, 127), g.array(2, -1000, 1000)
    g = Generator()
    items = 5
    a, b, image = g.array(items * 19, -3000, 3000), g.array(items * 12, -100, 100), g.array(items * 90, -90, 160)
    last, clamped, spread, volume = [], [], [], []
    for i in range(items):
        hidden = requantise(linear(a[i * 19:(i + 1) * 19], w0, b0), m0, 20, 0, 32767)
        narrow = requantise(linear(hidden, w1, b1), [77], 13, -128, 127)
        looked = [table[v + 128] for v in narrow]
        other = b[i * 12:(i + 1) * 12]
        c = clamp([p + q for p, q in zip(looked, other)], -900, 950)
        clamped += c
        last += linear(c + other + hidden, w2, b2)
        y, extents = conv(image[i * 90:(i + 1) * 90], [5, 6], 3, w3, [3, 2], b3, [2, 1], [1, 0], [2, 1])
        y = requantise(y, m3, 16, -300, 300)
        y, extents = conv_transposed(y, extents, 18, w4, [3, 2], b4, [2, 3], [1, 0], [0, -1])
        assert extents == [6, 18]
        y = requantise(y, [9], 20, 0, 127)
        y = [v for j in range(0, len(y), 5) for v in linear(y[j:j + 5], w5, b5)]
        spread += y
        y = requantise(y, [5], 9, -128, 127)
        volume += conv(y, [6, 3, 6], 17, w6, [2, 1, 3], b6, [1, 2, 3], [1, 0, 2], [0, 0, 1])[0]
    answer = 14695981039346656037  # FNV-1a over 32-bit words
    for v in last + clamped + spread + volume:
        answer = ((answer ^ (v % 2**32)) * 1099511628211) % 2**64
    print(hex(answer))


if __name__ == "__main__":
    main()
