#!/usr/bin/env python3
"""Writes latent_classes.inc, with what probabilities the models of latents begin (run once; the result is in the tree).

    python3 make_latent_classes.py > latent_classes.inc

Class c is for a Laplace distribution of standard deviation 2 ** ((c - 8) / 2) steps. A row: probability, in units of
2 ** -12, that a number is 0; then that a number with at least k + 1 bits has no more, k = 0 .. 9; then that the second
highest bit of one of k + 1 bits is 0, k = 1 .. 9.
"""
from math import exp, sqrt

CLASSES, PREFIXES = 24, 10


def clip(p):
    return min(4080, max(16, round(4096 * p)))


def row(c):
    b = 2 ** ((c - 8) / 2) / sqrt(2)

    def beyond(m):  # P(|q| >= m), m >= 1
        return exp(-(m - 0.5) / b)

    def share(of, all_of):
        return clip(of / all_of) if all_of > 1e-12 else 4080

    zero = clip(1 - beyond(1))
    ends = [share(beyond(2**k) - beyond(2 ** (k + 1)), beyond(2**k)) for k in range(PREFIXES)]
    halves = [share(beyond(2**k) - beyond(3 * 2 ** (k - 1)), beyond(2**k) - beyond(2 ** (k + 1)))
              for k in range(1, PREFIXES)]
    return [zero] + ends + halves


print("// Made by make_latent_classes.py; do not edit.")
for c in range(CLASSES):
    print("{" + ", ".join(map(str, row(c))) + "},")
