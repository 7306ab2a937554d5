#!/usr/bin/env python3
"""Write the seeds of weights_fuzz: a weights file of each form of each family, as small as the form can be.

    python3 h5tests/fuzz/make_seeds.py [H5NEURAL_LINEAR]

Those of family linear are learned by h5neural-linear (of the build's bin/), and made only where it is named: their basis
is coded by the walk. The shipped weights are too large to be mutated: nearly every change would fall on a number, few on the structure.
Run once, by whoever changes the format (docs/weights-format.md). Standard library only.
"""
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"I8": ("b", 1, 9), "I16": ("h", 2, 90), "I32": ("i", 4, 900)}  # struct code, bytes, largest number drawn


def dense(source, weight, bias):
    return {"op": "linear", "in": [source], "weight": weight, "bias": bias}


def requantise(source, limit, multiplier=16384, shift=20):
    return {"op": "requantise", "in": [source], "multiplier": multiplier, "shift": shift, "min": -limit, "max": limit}


def value(count, limit):
    return {"shape": [count], "min": -limit, "max": limit}


def safetensors(path, metadata, tensors):
    """A length, a JSON header padded with blanks, the numbers: aligned, in the order of `tensors`."""
    rng = random.Random(17)
    header, data = {"__metadata__": metadata}, b""
    for name, (kind, shape) in tensors.items():
        code, size, most = SIZES[kind]
        count = 1
        for n in shape:
            count *= n
        start = len(data)
        data += struct.pack(f"<{count}{code}", *(rng.randint(-most, most) for _ in range(count)))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def metadata(name, config, programs):
    texts = {f"program.{key}": json.dumps(p, separators=(",", ":")) for key, p in programs.items()}
    return {"format": "h5neural-weights-1", "name": name, "family": "swae", "config": json.dumps(config), **texts}


def block():
    """Blocks of 2^3 values, 2 latents."""
    programs = {
        "encode": {"inputs": [value(8, 16383)], "ops": [dense(0, "we", "be"), requantise(1, 2047)], "outputs": [2]},
        "decode": {"inputs": [value(2, 2047)],
                   "ops": [dense(0, "wd", "bd"), {"op": "clamp", "in": [1], "min": -16383, "max": 16383},
                           {"op": "reshape", "in": [2], "shape": [8]}],
                   "outputs": [3]}}
    tensors = {"we": ("I8", [2, 8]), "be": ("I32", [2]), "wd": ("I16", [8, 2]), "bd": ("I32", [8])}
    return metadata("seed-block", {"form": "block", "edge": 2}, programs), tensors


def blocks():
    """Blocks of 2 x 3 values, 2 latents, of which each is expected as it was along the last axis."""
    programs = {
        "encode": {"inputs": [value(6, 16383)], "ops": [dense(0, "we", "be"), requantise(1, 16383)], "outputs": [2]},
        "decode": {"inputs": [value(2, 16383)],
                   "ops": [{"op": "reshape", "in": [0], "shape": [1, 1, 2]},
                           {"op": "conv_transposed", "in": [1], "weight": "wd", "bias": "bd", "stride": [1, 1],
                            "before": [0, 0], "after": [0, 0]},
                           requantise(2, 16383), {"op": "reshape", "in": [3], "shape": [6]}],
                   "outputs": [4]},
        "context": {"inputs": [value(10, 16383)],
                    "ops": [dense(0, "wm", "bm"), requantise(1, 16383), dense(0, "ws", "bs"),
                            {"op": "clamp", "in": [3], "min": 0, "max": 63}],
                    "outputs": [2, 4]}}
    tensors = {"we": ("I8", [2, 6]), "be": ("I32", [2]), "wd": ("I16", [1, 2, 3, 2]), "bd": ("I32", [1]),
               "wm": ("I16", [2, 10]), "bm": ("I32", [2]), "ws": ("I8", [2, 10]), "bs": ("I32", [2])}
    return metadata("seed-blocks", {"form": "blocks", "block": [2, 3], "normalise": "minmax", "gain": 500}, programs), tensors


def chunk():
    """Chunks of 4^3 values, 2 latents, 3 fine and 2 coarse modes."""
    programs = {
        "coefficients": {
            "inputs": [value(2, 4096), value(3, 2000), value(2, 2000)],
            "ops": [requantise(0, 31, "m", 26), {"op": "table", "in": [3], "table": "t", "first": -31},
                    dense(4, "wf", "bf"), requantise(5, 2000), {"op": "add", "in": [6, 1]},
                    dense(4, "wc", "bc"), requantise(8, 2000), {"op": "add", "in": [9, 2]}],
            "outputs": [7, 10]},
        "field": {"inputs": [value(3, 4096), value(2, 4096)],
                  "ops": [dense(0, "fine", "mean"), dense(1, "coarse", "zero"), {"op": "add", "in": [2, 3]}],
                  "outputs": [4]},
        "encode": {"inputs": [value(5, 8191)], "ops": [dense(0, "we", "be"), requantise(1, 4096)], "outputs": [2]}}
    tensors = {"m": ("I32", [2]), "t": ("I16", [63]), "wf": ("I16", [3, 2]), "bf": ("I32", [3]),
               "wc": ("I8", [2, 2]), "bc": ("I32", [2]), "we": ("I16", [2, 5]), "be": ("I32", [2]),
               "fine": ("I16", [64, 3]), "coarse": ("I8", [64, 2]), "mean": ("I32", [64]), "zero": ("I32", [64]),
               "sigma": ("I32", [5])}
    config = {"form": "chunk", "extents": [4, 4, 4], "units": [0, 0, 1, 1, 1, 2, 2], "scales": [4, 4, 3, 3, 3, 3, 3]}
    return metadata("seed-chunk", config, programs), tensors


def linear(program, folder):
    """Sums of a few waves in chunks of 4^3, as the training takes them; both forms."""
    rng = random.Random(5)
    chunks = []
    for _ in range(20):
        a, b, c = (rng.gauss(0, 1) for _ in range(3))
        chunks += [a * math.sin(x) + b * math.cos(y + z) + c * x for z in range(4) for y in range(4) for x in range(4)]
    text = json.dumps({"x": {"dtype": "F32", "shape": [20, 4, 4, 4], "data_offsets": [0, 4 * len(chunks)]}}).encode()
    text += b" " * (-len(text) % 8)
    with tempfile.TemporaryDirectory() as t:
        data = os.path.join(t, "x.safetensors")
        with open(data, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(chunks)}f", *chunks))
        for form, more in (("chunk", []), ("block", ["--block", "2,4,2"])):
            out = os.path.join(t, f"linear-{form}.safetensors")
            subprocess.run([program, "--data", data, "--variable", "x", "--abs", "0.01", "--modes", "3", "--form", form,
                            "--name", f"seed-linear-{form}", "--out", out, *more], check=True)
            shutil.copy(out, folder)


def main():
    folder = os.path.join(HERE, "seeds", "weights")
    os.makedirs(folder, exist_ok=True)
    for name, make in (("block", block), ("blocks", blocks), ("chunk", chunk)):
        safetensors(os.path.join(folder, name + ".safetensors"), *make())
    if len(sys.argv) > 1:
        linear(sys.argv[1], folder)


if __name__ == "__main__":
    main()
