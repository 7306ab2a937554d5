#!/usr/bin/env python3
"""The known answer of the integer programs (engine/exact/known_answer.cc), worked out with Python's own integers.

Prints the constant that stands there as kAnswer. Written from docs/weights-format.md, not from the interpreter.
"""


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
    g = Generator()
    items = 5
    a, b = g.array(items * 19, -3000, 3000), g.array(items * 12, -100, 100)
    last, clamped = [], []
    for i in range(items):
        hidden = requantise(linear(a[i * 19:(i + 1) * 19], w0, b0), m0, 20, 0, 32767)
        narrow = requantise(linear(hidden, w1, b1), [77], 13, -128, 127)
        looked = [table[v + 128] for v in narrow]
        other = b[i * 12:(i + 1) * 12]
        c = clamp([p + q for p, q in zip(looked, other)], -900, 950)
        clamped += c
        last += linear(c + other + hidden, w2, b2)
    answer = 14695981039346656037  # FNV-1a over 32-bit words
    for v in last + clamped:
        answer = ((answer ^ (v % 2**32)) * 1099511628211) % 2**64
    print(hex(answer))


if __name__ == "__main__":
    main()
