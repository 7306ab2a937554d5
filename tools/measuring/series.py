"""Series of frames to learn from, and others of their kind to measure: the sources of tools/measure-frames and
tools/measure-sequences. Chunks are [16, Y, X]; a series is two arrays in a folder, NAME-train.npy and NAME-test.npy, made
where they are missing.
"""
import os
import subprocess
import sys

import numpy as np

from . import engine

sys.path.insert(0, os.path.join(engine.SOURCE, "h5tests", "fields"))
import euler  # noqa: E402
import kolmogorov  # noqa: E402
import rayleigh_benard  # noqa: E402
import two_puncture  # noqa: E402

FRAMES = kolmogorov.FRAMES


def _of_dataset(file, dataset, part):
    """Whole chunks of a part (0 to 1, 0 to 1) of a dataset's first axis, or None."""
    import h5py
    path = os.path.join(os.environ.get("H5NEURAL_DATA", ""), file)
    if not os.path.exists(path):
        return None
    with h5py.File(path) as f:
        values = f[dataset][...]
    chunks = len(values) // FRAMES
    first, last = (round(chunks * p) for p in part)
    return values[first * FRAMES:last * FRAMES].reshape(-1, FRAMES, *values.shape[1:])


SERIES = {
    "kolmogorov-close": lambda split: kolmogorov.generate(split, "close"),
    "kolmogorov-far": lambda split: kolmogorov.generate(split, "far"),
    "euler": euler.series,
    "rayleigh-benard": rayleigh_benard.generate,
    "yearly-maps": lambda split: _of_dataset("climate_ccsm3_trefht.h5",
                                             "TREFHT_B06_57" if split == "train" else "TREFHT_B06_60", (0, 1)),
    "regional-maps": lambda split: _of_dataset("climate_regional_a1b.h5", "air_temperature",
                                               (0, 0.8) if split == "train" else (0.8, 1)),
}


def chunks_of(name, split, folder):
    """[chunks, FRAMES, Y, X], or None where H5NEURAL_DATA has no such source."""
    path = folder / f"{name}-{split}.npy"
    if not path.exists():
        values = SERIES[name](split)
        if values is None:
            return None
        np.save(path, values)
    return np.load(path)


def learned(name, label, program, options, folder, sources=()):
    """The weights file of a series under a label, learned where it is missing by `program`, a command with its first
    options, and `options`; from the training runs of the series itself, or of `sources`."""
    out = folder / f"{name}-{label}.safetensors"
    if out.exists():
        return out
    data = folder / f"{name}-{label}.samples"
    arrays = {f"x{k}": chunks_of(n, "train", folder) for k, n in enumerate(sources or [name])}
    if any(x is None for x in arrays.values()):
        sys.exit("H5NEURAL_DATA names no folder with a series to learn from")
    arrays = {k: x.astype(np.float32) for k, x in arrays.items()}
    two_puncture.write_safetensors(data, arrays)
    command = [*program, "--data", data, "--variable", ",".join(arrays), "--out", out, "--name", f"{name}-{label}", *options]
    if subprocess.run([str(c) for c in command], check=False).returncode:
        sys.exit(f"training {label} on {name} failed")
    data.unlink()
    out.with_suffix(".safetensors.checkpoint").unlink(missing_ok=True)
    return out
