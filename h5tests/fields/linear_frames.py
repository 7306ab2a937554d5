#!/usr/bin/env python3
"""Weights files of family frames (docs/weights-format.md) whose prediction is one convolution: what networks that were
trained are to be held against.

    linear_frames.py OUT.safetensors last          a frame is the one before it
    linear_frames.py OUT.safetensors straight      it goes on as from the last but one to the last
    linear_frames.py OUT.safetensors fit ARRAY.npy least squares over 5 x 5 points of two frames, ARRAY [chunks, t, y, x]

A frame between two others is the mean of both, or fitted too. Needs numpy for `fit` alone.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz"))
import make_seeds  # noqa: E402


def write(path, name, predict, between=None, **more):
    """Kernels as make_seeds.frames takes them."""
    make_seeds.safetensors(path, *make_seeds.frames(name, predict, between, **{"tile": 32, **more}))


def fitted(a, before, after, reach=2):
    """Least squares for frame t from those at t + d, d in `before` + `after`, around each point; periodic."""
    import numpy as np
    around = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    steps = [*before, *after]
    n = len(around) * len(steps)
    gram, right = np.zeros((n, n)), np.zeros(n)
    for chunk in a:
        frames = (chunk - chunk.mean()).astype("f8")
        for t in range(-min(steps), len(frames) - max(0, max(steps))):
            x = np.stack([np.roll(frames[t + d], (-p[0], -p[1]), (0, 1)).reshape(-1) for p in around for d in steps])
            gram += x @ x.T
            right += x @ frames[t].reshape(-1)
    best = np.linalg.solve(gram + 1e-9 * np.trace(gram) / n * np.eye(n), right)
    return best.reshape(len(around), len(steps)).tolist()


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in ("last", "straight", "fit"):
        sys.exit(__doc__)
    out, kind = sys.argv[1:3]
    if kind == "last":
        write(out, kind, [(1,)], [(0.5, 0.5)])
    elif kind == "straight":
        write(out, kind, [(-1, 2)], [(0.5, 0.5)])
    else:
        import numpy as np
        a = np.load(sys.argv[3])
        write(out, kind, fitted(a, (-2, -1), ()), fitted(a, (-1,), (1,)), periodic=True)


if __name__ == "__main__":
    main()
