#!/usr/bin/env python3
"""Writes tables.inc, the probability tables of the corrections coder (run once; the result is in the tree).

    python3 make_tables.py > tables.inc

A table is the distribution of a quantised residual q. Its continuous form is a generalised Gaussian
exp(-(|x| / a) ** shape) of mean magnitude m bins: m = 2 ** ((s - 18) / 4), s = 0 .. 30, for three shapes.
Frequencies add up to 4096 (12 bits); symbols stand in the order 0, -1, 1, -2, 2, ..., -limit, limit, escape,
where the limit (at most 40) is the largest magnitude that still rounds to a frequency of one or more.
"""
from math import gamma
import numpy as np

LIMIT, SCALES, SHAPES, TOTAL = 40, 31, (0.6, 1.0, 1.6), 4096


def mass(shape, m):
    """P(q) for q = 0 .. LIMIT."""
    a = m * gamma(1 / shape) / gamma(2 / shape)  # E|x| = a gamma(2/shape) / gamma(1/shape)
    x = np.concatenate([[0], np.geomspace(1e-9, 400, 400_001)])  # fine near zero, where small shapes are steep
    pdf = np.exp(-((x / a) ** shape))
    cum = np.concatenate([[0], np.cumsum((pdf[1:] + pdf[:-1]) / 2 * np.diff(x))]) / (a * gamma(1 + 1 / shape))
    cdf = np.interp(np.arange(LIMIT + 1) + .5, x, cum)  # mass of (0, k + 1/2), one side of a total of 1
    return np.concatenate([[cdf[0]], np.diff(cdf) / 2])


def quantise(p):
    side = np.floor(p[1:] * TOTAL + .5).astype(int)
    limit = max(1, int((side >= 1).sum()))
    side = np.maximum(side[:limit], 1)
    escape = max(1, int((1 - p[0] - 2 * p[1:limit + 1].sum()) * TOTAL + .5))
    return [TOTAL - 2 * side.sum() - escape] + [f for s in side for f in (s, s)] + [escape]


print("// Made by make_tables.py; do not edit.")
for shape in SHAPES:
    for s in range(SCALES):
        f = quantise(mass(shape, 2 ** ((s - 18) / 4)))
        assert sum(f) == TOTAL and min(f) >= 1, (shape, s, f)
        print("{" + ",".join(map(str, f)) + "},")
