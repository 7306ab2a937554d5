#!/usr/bin/env python3
"""Gas that starts at rest or in motion in four quadrants: a family of frames with shocks, contacts and slip lines to train
models on, and runs kept apart to measure them on.

Two-dimensional Riemann problems of the Euler equations (Schulz-Rinne, Collins, Glaz, SIAM J. Sci. Comput. 14, 1394, 1993),
gamma = 1.4 on the unit square, waves leave it freely. Central scheme of Kurganov and Tadmor (J. Comput. Phys. 160, 241,
2000): limited slopes, local speeds, Heun steps. A run draws density, pressure and velocity of each quadrant, and the point
where these meet; the two coordinates of this point come from eight stripes each, of which test runs have two that training
runs never see.

    euler.py OUT.h5 --split test                dataset /density [frames, n, n] float32, a frame a chunk
    euler.py OUT.safetensors --split train      array density; numpy alone

`series` gives other runs in closer frames, sixteen to a chunk.

The same arguments give the same numbers.
"""
import argparse

import numpy as np

import two_puncture

GAMMA, COURANT = 1.4, 0.4
RUNS = {"train": 16, "test": 4}
TIMES = np.linspace(0.06, 0.24, 10)
CLOSE_TIMES = np.linspace(0.05, 0.2, 16)
STRIPES, HELD_OUT = 8, (2, 5)
MEETING = (0.35, 0.65)  # of the square


def draw(rng, split):
    """(coordinates of the meeting point, primitive states [density, y velocity, x velocity, pressure][2, 2])."""
    stripes = [s for s in range(STRIPES) if (s in HELD_OUT) == (split == "test")]
    place = [(stripes[rng.integers(len(stripes))] + rng.random()) / STRIPES for _ in range(2)]
    low, high = MEETING
    states = np.stack([rng.uniform(0.3, 1.5, (2, 2)), rng.uniform(-0.6, 0.6, (2, 2)), rng.uniform(-0.6, 0.6, (2, 2)),
                       rng.uniform(0.2, 1.5, (2, 2))])
    return [low + (high - low) * p for p in place], states


def conserved(w):
    return np.stack([w[0], w[0] * w[1], w[0] * w[2], w[3] / (GAMMA - 1) + 0.5 * w[0] * (w[1]**2 + w[2]**2)])


def primitive(q):
    v, u = q[1] / q[0], q[2] / q[0]
    return np.stack([q[0], v, u, (GAMMA - 1) * (q[3] - 0.5 * q[0] * (v**2 + u**2))])


def flux(w, axis):
    """Flux along an axis, and the largest signal speed."""
    q, along = conserved(w), w[1 + axis]
    f = q * along
    f[1 + axis] += w[3]
    f[3] += along * w[3]
    return q, f, abs(along) + np.sqrt(GAMMA * w[3] / w[0])


def minmod(a, b):
    return np.where(a * b > 0, np.where(abs(a) < abs(b), a, b), 0)


def slopes(q, dx):
    """(d q / dt, largest speed)."""
    rate, fastest, w = np.zeros_like(q), 0.0, primitive(q)
    for axis in (0, 1):
        a = np.pad(np.moveaxis(w, 1 + axis, 1), ((0, 0), (2, 2), (0, 0)), mode="edge")
        step = np.diff(a, axis=1)
        half = 0.5 * minmod(step[:, :-1], step[:, 1:])
        q1, f1, s1 = flux(a[:, 1:-2] + half[:, :-1], axis)
        q2, f2, s2 = flux(a[:, 2:-1] - half[:, 1:], axis)
        speed = np.maximum(s1, s2)
        through = 0.5 * (f1 + f2) - 0.5 * speed * (q2 - q1)
        rate -= np.moveaxis(np.diff(through, axis=1), 1, 1 + axis) / dx
        fastest = max(fastest, float(speed.max()))
    return rate, fastest


def run(rng, split, n, times=TIMES):
    """Densities at these times, float32 [times, n, n]."""
    place, states = draw(rng, split)
    centres = (np.arange(n) + 0.5) / n
    above, right = (centres > place[0]).astype(int), (centres > place[1]).astype(int)
    q, now, out = conserved(states[:, above[:, None], right[None, :]]), 0.0, []
    for time in times:
        while now < time:
            rate, fastest = slopes(q, 1 / n)
            step = min(COURANT / n / fastest, time - now)
            first = q + step * rate
            q = 0.5 * (q + first + step * slopes(first, 1 / n)[0])
            now += step
        out.append(q[0].astype(np.float32))
    return np.stack(out)


def generate(split, n=128):
    rng = np.random.default_rng([1, 0 if split == "train" else 1])
    return np.concatenate([run(rng, split, n) for _ in range(RUNS[split])])


def series(split, n=128):
    """Runs in time, float32 [runs, frames, n, n]."""
    rng = np.random.default_rng([2, 0 if split == "train" else 1])
    return np.stack([run(rng, split, n, CLOSE_TIMES) for _ in range(RUNS[split])])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--split", choices=tuple(RUNS), default="train")
    ap.add_argument("--n", type=int, default=128, help="points per axis")
    a = ap.parse_args()
    density = generate(a.split, a.n)
    if a.out.endswith(".safetensors"):
        two_puncture.write_safetensors(a.out, {"density": density})
    else:
        import h5py
        with h5py.File(a.out, "w") as f:
            f.create_dataset("density", data=density, chunks=(1, a.n, a.n))


if __name__ == "__main__":
    main()
