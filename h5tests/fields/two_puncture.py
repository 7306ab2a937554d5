#!/usr/bin/env python3
"""Two-puncture black-hole initial data on a cubic grid around the centre of mass: the family that the SWAE weights are
trained on, and the kept-apart draws that they are measured on.

Conformal factor of Brill and Lindquist (Phys. Rev. 131, 471, 1963), psi = 1 + sum_a m_a / (2 r_a), and the conformal
extrinsic curvature of Bowen and York (Phys. Rev. D 21, 2047, 1980), which solves the momentum constraint for given
momenta and spins. From them the BSSN variables  U_CHI = psi^-4,  U_ALPHA = psi^-2 (pre-collapsed lapse)  and
U_AXX ... U_AZZ = psi^-6 A_ij.  Units are geometric, total mass 1. The grid has no point on the punctures' plane.

One draw is a mass ratio q in [0.4, 1], a separation d in [3, 6], an orbital phase in [0, 2 pi) and two spins. Each of
the first three is divided into 64 stripes; a test draw takes all three from the stripes 3, 11, 19, ... (one in eight),
a training draw none of them. So no mass ratio, separation or phase of a test draw was ever trained on.

    two_puncture.py OUT.h5 --split test --count 20 --seed 1           HDF5, dataset /NAME [count, n, n, n] (needs h5py)
    two_puncture.py OUT.safetensors --split train --variables U_CHI   float32 arrays, numpy alone

The same arguments give the same numbers.
"""
import argparse
import json
import struct

import numpy as np

VARIABLES = ("U_CHI", "U_ALPHA", "U_AXX", "U_AXY", "U_AXZ", "U_AYY", "U_AYZ", "U_AZZ")
STRIPES = 64
RANGES = {"mass_ratio": (0.4, 1.0), "separation": (3.0, 6.0), "phase": (0.0, 2 * np.pi)}


def held_out(stripe):
    return stripe % 8 == 3


def draw(rng, split):
    """Parameters of one field."""
    stripes = [s for s in range(STRIPES) if held_out(s) == (split == "test")]
    p = {}
    for name, (lo, hi) in RANGES.items():
        p[name] = lo + (hi - lo) * (stripes[rng.integers(len(stripes))] + rng.random()) / STRIPES
    p["spins"] = rng.normal(0.0, 0.1, (2, 3))
    return p


def punctures(p):
    """Masses, positions, momenta and spins of the two holes: a quasi-circular orbit in the plane z = 0."""
    q, d = p["mass_ratio"], p["separation"]
    masses = np.array([1 / (1 + q), q / (1 + q)])
    radial = np.array([np.cos(p["phase"]), np.sin(p["phase"]), 0.0])
    tangent = np.array([-np.sin(p["phase"]), np.cos(p["phase"]), 0.0])
    positions = [d * masses[1] * radial, -d * masses[0] * radial]
    momentum = masses[0] * masses[1] / np.sqrt(d)  # Newtonian circular orbit
    spins = [s * m**2 for s, m in zip(p["spins"], masses)]
    return masses, positions, [momentum * tangent, -momentum * tangent], spins


def fields(p, n, half_width, variables):
    """The variables asked for, float32 [n, n, n] with axes z, y, x; cells of 2 half_width / n, values at their centres."""
    masses, positions, momenta, spins = punctures(p)
    c = (np.arange(n) + 0.5) * (2 * half_width / n) - half_width
    z, y, x = np.meshgrid(c, c, c, indexing="ij")
    point = np.stack([x, y, z])
    psi = np.ones_like(x)
    curvature = np.zeros((3, 3) + x.shape)
    wants_curvature = any(v.startswith("U_A") and v != "U_ALPHA" for v in variables)
    for m, position, momentum, spin in zip(masses, positions, momenta, spins):
        offset = point - position[:, None, None, None]
        r = np.sqrt((offset**2).sum(0))
        psi += m / (2 * r)
        if wants_curvature:
            curvature += bowen_york(offset / r, r, momentum, spin)
    axes = "XYZ"
    out = {"U_CHI": psi**-4, "U_ALPHA": psi**-2}
    for i in range(3):
        for j in range(i, 3):
            out["U_A" + axes[i] + axes[j]] = curvature[i, j] * psi**-6
    return {v: out[v].astype(np.float32) for v in variables}


def bowen_york(normal, r, momentum, spin):
    """A_ij = 3/(2 r^2) (P_i n_j + P_j n_i - (delta_ij - n_i n_j) P.n) + 3/r^3 ((S x n)_i n_j + (S x n)_j n_i)."""
    along = np.tensordot(momentum, normal, 1)
    twist = np.cross(spin, np.moveaxis(normal, 0, -1))
    a = np.empty((3, 3) + r.shape)
    for i in range(3):
        for j in range(3):
            linear = momentum[i] * normal[j] + momentum[j] * normal[i] - ((i == j) - normal[i] * normal[j]) * along
            a[i, j] = 1.5 / r**2 * linear + 3 / r**3 * (twist[..., i] * normal[j] + twist[..., j] * normal[i])
    return a


def generate(split, count, seed, n=32, half_width=12.0, variables=VARIABLES):
    """{variable: float32 [count, n, n, n]} and the parameters of each draw."""
    rng = np.random.default_rng([seed, 0 if split == "train" else 1])
    arrays = {v: np.empty((count, n, n, n), np.float32) for v in variables}
    parameters = []
    for i in range(count):
        p = draw(rng, split)
        parameters.append([p["mass_ratio"], p["separation"], p["phase"]])
        for v, a in fields(p, n, half_width, variables).items():
            arrays[v][i] = a
    return arrays, np.array(parameters)


def write_safetensors(path, arrays):
    header, at = {}, 0
    for name in sorted(arrays):
        a = arrays[name]
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(arrays):
            f.write(np.ascontiguousarray(arrays[name], "<f4").tobytes())


def write_hdf5(path, arrays, parameters, attributes):
    import h5py

    with h5py.File(path, "w") as f:
        f.attrs.update(attributes)
        f.create_dataset("parameters", data=parameters).attrs["columns"] = list(RANGES)
        for name, a in arrays.items():
            f.create_dataset(name, data=a, chunks=(1,) + a.shape[1:])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--split", choices=("train", "test"), default="train")
    ap.add_argument("--count", type=int, default=64)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--n", type=int, default=32, help="points per axis")
    ap.add_argument("--half-width", type=float, default=12.0, help="the grid reaches from minus this to plus this")
    ap.add_argument("--variables", nargs="+", choices=VARIABLES, default=list(VARIABLES))
    a = ap.parse_args()
    arrays, parameters = generate(a.split, a.count, a.seed, a.n, a.half_width, a.variables)
    if a.out.endswith(".safetensors"):
        write_safetensors(a.out, arrays)
    else:
        write_hdf5(a.out, arrays, parameters, {"generator": "two_puncture.py", "split": a.split, "seed": a.seed,
                                               "half_width": a.half_width})


if __name__ == "__main__":
    main()
