"""Families of chunks to learn from, and others of their kind to measure: HDF5 files made by the generators of
h5tests/fields, or cut by time from sources of H5NEURAL_DATA.

A family is two files in a folder, NAME-train.h5 and NAME-test.h5, each with one chunked dataset; they are made where they
are missing.
"""
import os
import subprocess
import sys

import numpy as np

from . import engine

GENERATORS = os.path.join(engine.SOURCE, "h5tests", "fields")
SOURCES = {"yearly-maps": ("climate_ccsm3_trefht.h5", "TREFHT_B06_57"),
           "monthly-maps": ("climate_regional_a1b.h5", "air_temperature")}
NAMES = ("punctures", "turbulence", "euler", "interfaces", *SOURCES)


def _script(name, path, *arguments):
    """Runs a generator; its file appears whole or not at all."""
    subprocess.run([sys.executable, os.path.join(GENERATORS, name), str(path) + ".partial", *arguments], check=True)
    os.replace(str(path) + ".partial", path)


def _discs(rng, radii, n=256, width=1.5):
    """tanh of the distance to the edge of the nearest of 40 discs, in units of `width` points."""
    y, x = np.mgrid[:n, :n]
    inside = np.full((n, n), -np.inf)
    for _ in range(40):
        inside = np.maximum(inside, rng.uniform(*radii) - np.hypot(y - rng.uniform(0, n), x - rng.uniform(0, n)))
    return np.tanh(inside / width).astype(np.float32)


def _interfaces(path, split):
    import h5py
    rng = np.random.default_rng(1 if split == "train" else 2)
    radii = (8, 24) if split == "train" else (10, 30)
    fields = np.stack([_discs(rng, radii) for _ in range(60 if split == "train" else 6)])
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=fields, chunks=(1, 128, 128))


def _maps(path, split, name):
    """The first four fifths of the time to learn from, the rest to measure."""
    import h5py
    file, dataset = SOURCES[name]
    with h5py.File(os.path.join(os.environ["H5NEURAL_DATA"], file)) as f:
        values = f[dataset][...].astype("<f4")
    cut = len(values) * 4 // 5
    part = values[:cut] if split == "train" else values[cut:]
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=part, chunks=(1, *part.shape[1:]))


def missing(name):
    """Why a family cannot be had here, or an empty text."""
    folder = os.environ.get("H5NEURAL_DATA", "")
    if name in SOURCES and not os.path.exists(os.path.join(folder, SOURCES[name][0])):
        return f"H5NEURAL_DATA names no folder with {SOURCES[name][0]}"
    return ""


def source(name, split, folder, learn=1000, count=24):
    """(file, dataset) of a family's `split`; `learn` and `count` are numbers of two-puncture draws."""
    path = os.path.join(folder, f"{name}-{split}.h5")
    dataset = {"punctures": "U_CHI", "euler": "density"}.get(name, "u")
    if os.path.exists(path):
        return path, dataset
    if name == "punctures":
        _script("two_puncture.py", path, "--split", split, "--count", str(learn if split == "train" else count),
                "--variables", dataset)
    elif name == "turbulence":
        _script("turbulence.py", path, "--split", split)
    elif name == "euler":
        _script("euler.py", path, "--split", split)
    elif name == "interfaces":
        _interfaces(path, split)
    else:
        _maps(path, split, name)
    return path, dataset


def chunks(path, dataset, count=0):
    """The chunks of a dataset as arrays without axes of one point; `count` of them, evenly chosen, or all."""
    import h5py
    with h5py.File(path) as f:
        d = f[dataset]
        places = list(d.iter_chunks())
        places = places[:: max(1, len(places) // count)][:count] if count else places
        return [np.ascontiguousarray(d[place].squeeze()) for place in places]
