#!/usr/bin/env python3
"""Decaying isotropic turbulence in a periodic box of 2 or 3 dimensions: a family to train models on, and runs kept apart
to measure them on.

Incompressible Navier-Stokes, pseudo-spectral (Rogallo, NASA TM-81315, 1981), 2/3 dealiasing, Heun steps with the viscous
term exact. Starts from a solenoidal random field with energy about wavenumber 3 and unit root mean square. A run is a
seed, a viscosity and a first wavenumber; test runs have others than training runs.

    turbulence.py OUT.h5 --split test --dimensions 3       dataset /u [snapshots, n, n, n] float32, one velocity component
    turbulence.py OUT.safetensors --dimensions 2           array u; numpy alone

The same arguments give the same numbers, up to the rounding of the FFT.
"""
import argparse

import numpy as np

import two_puncture

# (seed, viscosity at n = 64, peak wavenumber); scaled by (64 / n)^(4/3) for other grids
RUNS = {"train": [(1, 0.010, 3), (2, 0.012, 3), (3, 0.014, 3.5), (4, 0.010, 4)],
        "test": [(101, 0.011, 3.2), (102, 0.013, 3.7)]}
TIMES = (1.0, 1.4, 1.8, 2.2, 2.6)


class Box:
    def __init__(self, dimensions, n):
        self.axes = tuple(range(1, dimensions + 1))
        self.n = n
        k = [np.fft.fftfreq(n, 1 / n)] * (dimensions - 1) + [np.fft.rfftfreq(n, 1 / n)]
        self.k = np.stack(np.meshgrid(*k, indexing="ij"))
        self.square = (self.k**2).sum(0)
        self.keep = (np.abs(self.k) < n / 3).all(0)

    def to_waves(self, u):
        return np.fft.rfftn(u, axes=self.axes)

    def to_points(self, f):
        return np.fft.irfftn(f, s=(self.n,) * len(self.axes), axes=self.axes)

    def solenoidal(self, f):
        return f - self.k * (self.k * f).sum(0) / np.maximum(self.square, 1)

    def advection(self, f):
        """-(u . grad) u without its gradient part."""
        u = self.to_points(f)
        out = np.zeros_like(u)
        for axis in range(len(u)):
            out -= u[axis] * self.to_points(1j * self.k[axis] * f)
        return self.solenoidal(self.to_waves(out) * self.keep)


def start(box, rng, peak):
    f = box.to_waves(rng.standard_normal((len(box.axes),) + (box.n,) * len(box.axes)))
    k = np.sqrt(box.square)
    f = box.solenoidal(f * k * np.exp(-((k / peak) ** 2))) * box.keep
    return f / np.sqrt((box.to_points(f) ** 2).mean())


def run(dimensions, n, seed, viscosity, peak):
    """One velocity component at TIMES, float32 [len(TIMES), n, ...]."""
    box = Box(dimensions, n)
    f = start(box, np.random.default_rng(seed), peak)
    step, now, out = 1 / n, 0.0, []
    decay = np.exp(-viscosity * (64 / n) ** (4 / 3) * box.square * step)
    for time in TIMES:
        while now < time - step / 2:
            first = box.advection(f)
            second = box.advection((f + step * first) * decay)
            f = (f + step / 2 * first) * decay + step / 2 * second
            now += step
        out.append(box.to_points(f)[0].astype(np.float32))
    return np.stack(out)


def generate(split, dimensions=3, n=64):
    return np.concatenate([run(dimensions, n, *parameters) for parameters in RUNS[split]])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--split", choices=tuple(RUNS), default="train")
    ap.add_argument("--dimensions", type=int, choices=(2, 3), default=3)
    ap.add_argument("--n", type=int, default=0, help="points per axis (64 in three dimensions, 256 in two)")
    a = ap.parse_args()
    u = generate(a.split, a.dimensions, a.n or (64 if a.dimensions == 3 else 256))
    if a.out.endswith(".safetensors"):
        two_puncture.write_safetensors(a.out, {"u": u})
    else:
        import h5py
        with h5py.File(a.out, "w") as f:
            f.create_dataset("u", data=u, chunks=(1,) + (min(32, u.shape[-1]),) * a.dimensions)


if __name__ == "__main__":
    main()
