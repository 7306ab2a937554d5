#!/usr/bin/env python3
"""Rayleigh-Benard convection, a layer heated from below: frames of its temperature in time to learn a model of family
frames from, and runs kept apart to measure it on.

Boussinesq equations in the plane, in units of the layer's height, its temperature difference and the free fall through
it, between walls without slip at fixed temperatures, periodic along them (every two heights), no net flow:

    dw/dt + u . grad w = sqrt(Pr / Ra) lap w + dT/dx
    dT/dt + u . grad T = 1 / sqrt(Ra Pr) lap T

w is the vorticity, on the walls from the stream function (Thom's formula; that it may be taken explicitly: E, Liu, J.
Comput. Phys. 124, 368, 1996). Fourier series along the walls, 2/3 dealiasing, second-order differences across, steps of
Shu and Osher's third-order Runge-Kutta scheme (J. Comput. Phys. 77, 439, 1988). A run is a seed, a Rayleigh and a
Prandtl number, and starts from conduction and a few random waves; frames begin when plumes have mixed the layer. Test
runs have seeds and numbers that training runs have not. A frame differs from the next by 0.08 to 0.22 standard deviations.

    rayleigh_benard.py OUT.h5 --split test      dataset /t [runs * chunks * 16, 128, 128] float32, chunks of 16; z first
    rayleigh_benard.py OUT.safetensors          array t [chunks, 16, 128, 128]; numpy alone

The same arguments give the same numbers, up to the rounding of the FFT and of matrix products.
"""
import argparse

import numpy as np

import two_puncture

POINTS, FRAMES = 128, 16
LENGTH = 2.0                      # of a period, in heights
STEP, FIRST = 0.008, 10.0          # of time; the first frame
BETWEEN = 20                      # steps from one frame to the next
CHUNKS = 4                        # of FRAMES frames, from each run
# Seed, Rayleigh number, Prandtl number.
RUNS = {"train": [(seed, 5e5 * 2 ** (seed % 4), (0.7, 1.0, 2.0)[seed % 3]) for seed in range(12)],
        "test": [(101, 1.4e6, 0.85), (102, 2.8e6, 1.4)]}


class Layer:
    """All runs of a split at once, as waves [vorticity and temperature, runs, z, waves along x]; z without the walls."""

    def __init__(self, runs, n=POINTS):
        self.n, self.dz = n, 1 / (n + 1)
        self.z = np.arange(1, n + 1) * self.dz
        waves = (n - 1) // 3 + 1
        self.k = 2 * np.pi / LENGTH * np.arange(waves)
        second = (np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1) - 2 * np.eye(n)) / self.dz**2
        self.inverse = np.linalg.inv(second - self.k[:, None, None] ** 2 * np.eye(n))
        rayleigh, prandtl = (np.array([run[i] for run in runs])[:, None, None] for i in (1, 2))
        self.spread = np.stack([np.sqrt(prandtl / rayleigh), 1 / np.sqrt(rayleigh * prandtl)])
        self.q = np.stack([np.zeros((len(runs), n, waves), complex), np.stack([self.start(seed) for seed, _, _ in runs])])

    def start(self, seed):
        rng = np.random.default_rng(seed)
        t = np.zeros((self.n, len(self.k)), complex)
        t[:, 0] = self.n * (1 - self.z)
        for wave in range(1, 7):
            for across in (1, 2, 3):
                a, b = rng.standard_normal(2)
                t[:, wave] += 0.01 * self.n * (a + 1j * b) * np.sin(across * np.pi * self.z)
        return t

    def points(self, waves):
        return np.fft.irfft(waves, n=self.n)

    def waves(self, points):
        return np.fft.rfft(points)[..., :len(self.k)]

    def across(self, x, low, high, order):
        """First or second differences along z; `low` and `high`: values on the walls."""
        x = np.concatenate([low, x, high], axis=-2)
        if order == 1:
            return (x[..., 2:, :] - x[..., :-2, :]) / (2 * self.dz)
        return (x[..., 2:, :] - 2 * x[..., 1:-1, :] + x[..., :-2, :]) / self.dz**2

    def flow(self):
        """Stream function, and the velocities along and across the walls in points."""
        stream = np.einsum("kzy,rky->rzk", self.inverse, self.q[0].swapaxes(1, 2), optimize=True)
        zero = np.zeros_like(stream[:, :1])
        return stream, self.points(-self.across(stream, zero, zero, 1)), self.points(1j * self.k * stream)

    def change(self):
        stream, u, v = self.flow()
        low, high = np.zeros((2, *self.q[:, :, :1].shape), complex)
        low[0], high[0] = 2 / self.dz**2 * stream[:, :1], 2 / self.dz**2 * stream[:, -1:]
        low[1, ..., 0] = self.n
        q = self.points(self.q)
        zero = np.zeros_like(low)
        out = -1j * self.k * self.waves(u * q) - self.across(self.waves(v * q), zero, zero, 1)
        out += self.spread * (self.across(self.q, low, high, 2) - self.k**2 * self.q)
        out[0] += 1j * self.k * self.q[1]
        return out

    def step(self):
        start = self.q
        for new in (1, 1 / 4, 2 / 3):
            self.q = (1 - new) * start + new * (self.q + STEP * self.change())

    def nusselt(self):
        """Heat that passes the layer, in what conduction alone carries; one for each run."""
        _, _, v = self.flow()
        return 1 + (v * self.points(self.q[1])).mean((1, 2)) / self.spread[1, :, 0, 0]


def generate(split):
    """Temperature [chunks, FRAMES, POINTS, POINTS] float32, those of one run after another."""
    layer, out = Layer(RUNS[split]), []
    for _ in range(round(FIRST / STEP)):
        layer.step()
    for _ in range(FRAMES * CHUNKS):
        for _ in range(BETWEEN):
            layer.step()
        out.append(layer.points(layer.q[1]).astype(np.float32))
    return np.stack(out, 1).reshape(-1, FRAMES, POINTS, POINTS)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--split", choices=tuple(RUNS), default="train")
    a = ap.parse_args()
    t = generate(a.split)
    if a.out.endswith(".safetensors"):
        two_puncture.write_safetensors(a.out, {"t": t})
    else:
        import h5py
        with h5py.File(a.out, "w") as f:
            f.create_dataset("t", data=t.reshape(-1, POINTS, POINTS), chunks=(FRAMES, POINTS, POINTS))


if __name__ == "__main__":
    main()
