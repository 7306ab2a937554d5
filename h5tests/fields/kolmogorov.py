#!/usr/bin/env python3
"""Kolmogorov flow, a plane flow driven by a standing wave: frames in time to learn a model of family frames from, and
runs kept apart to measure it on.

Vorticity w of an incompressible flow on the periodic box [0, 2 pi)^2 (Chandler, Kerswell, J. Fluid Mech. 722, 2013),
with friction at large scales:

    dw/dt + u . grad w = nu lap w - friction w + force k cos(k y)

Pseudo-spectral, 2/3 dealiasing, Heun steps with the linear terms exact, from a random field, until the flow has
forgotten it. A run is a seed, a viscosity and a force; test runs have others than training runs. Frames follow each
other closely (a frame differs from the next by about 0.11 standard deviations) or far apart (0.40).

    kolmogorov.py OUT.h5 --split test --frames far         dataset /w [runs * chunks * 16, 128, 128] float32, chunks of 16
    kolmogorov.py OUT.safetensors                          array w [chunks, 16, 128, 128]; numpy alone

The same arguments give the same numbers, up to the rounding of the FFT.
"""
import argparse

import numpy as np

import two_puncture

POINTS, FRAMES = 128, 16
WAVE, FRICTION = 4, 0.1
STEP, FIRST = 0.005, 8.0                 # of time; the first frame
BETWEEN = {"close": 12, "far": 48}       # steps from one frame to the next
CHUNKS = {"close": 4, "far": 2}          # of FRAMES frames, from each run
RUNS = {"train": [(seed, 1e-3 * (1 + seed % 3), 0.4 + 0.05 * (seed % 4)) for seed in range(12)],
        "test": [(101, 1.5e-3, 0.475), (102, 2.5e-3, 0.525)]}


class Flow:
    """All runs of a split at once, as waves [runs, n, n / 2 + 1]."""

    def __init__(self, runs, n=POINTS):
        self.n = n
        self.y, self.x = np.meshgrid(np.fft.fftfreq(n, 1 / n), np.fft.rfftfreq(n, 1 / n), indexing="ij")
        square = self.x**2 + self.y**2
        self.inverse = 1 / np.maximum(square, 1)
        self.keep = (np.abs(self.y) < n / 3) & (self.x < n / 3)
        rng = [np.random.default_rng(seed) for seed, _, _ in runs]
        start = np.stack([r.standard_normal((n, n)) for r in rng])
        self.w = np.fft.rfft2(start) * np.exp(-((np.sqrt(square) - 6) ** 2) / 8) * self.keep
        self.w *= 3 / self.points(self.w).std((1, 2), keepdims=True)
        viscosity, force = (np.array([run[k] for run in runs])[:, None, None] for k in (1, 2))
        self.decay = np.exp(-STEP * (viscosity * square + FRICTION))
        wave = np.cos(WAVE * 2 * np.pi * np.arange(n) / n)[:, None] * np.ones(n)
        self.force = force * WAVE * np.fft.rfft2(wave)

    def points(self, waves):
        return np.fft.irfft2(waves, s=(self.n, self.n))

    def change(self, w):
        u, v = self.points(1j * self.y * self.inverse * w), self.points(-1j * self.x * self.inverse * w)
        return self.force - self.keep * np.fft.rfft2(u * self.points(1j * self.x * w) + v * self.points(1j * self.y * w))

    def step(self):
        first = self.change(self.w)
        second = self.change((self.w + STEP * first) * self.decay)
        self.w = (self.w + STEP / 2 * first) * self.decay + STEP / 2 * second


def generate(split, frames="close"):
    """Vorticity [chunks, FRAMES, POINTS, POINTS] float32, those of one run after another."""
    flow, out = Flow(RUNS[split]), []
    for _ in range(round(FIRST / STEP)):
        flow.step()
    for _ in range(FRAMES * CHUNKS[frames]):
        for _ in range(BETWEEN[frames]):
            flow.step()
        out.append(flow.points(flow.w).astype(np.float32))
    return np.stack(out, 1).reshape(-1, FRAMES, POINTS, POINTS)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--split", choices=tuple(RUNS), default="train")
    ap.add_argument("--frames", choices=tuple(BETWEEN), default="close")
    a = ap.parse_args()
    w = generate(a.split, a.frames)
    if a.out.endswith(".safetensors"):
        two_puncture.write_safetensors(a.out, {"w": w})
    else:
        import h5py
        with h5py.File(a.out, "w") as f:
            f.create_dataset("w", data=w.reshape(-1, POINTS, POINTS), chunks=(FRAMES, POINTS, POINTS))


if __name__ == "__main__":
    main()
