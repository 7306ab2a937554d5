#!/usr/bin/env python3
"""Write the seeds of weights_fuzz: a weights file of each form of each family, as small as the form can be; and those of
worker_fuzz.

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
    """A length, a JSON header padded with blanks, the numbers: aligned, in the order of `tensors`, drawn at random where
    none are given."""
    rng = random.Random(17)
    header, data = {"__metadata__": metadata}, b""
    for name, (kind, shape, *values) in tensors.items():
        code, size, most = SIZES[kind]
        count = 1
        for n in shape:
            count *= n
        start = len(data)
        data += struct.pack(f"<{count}{code}", *(values[0] if values else (rng.randint(-most, most) for _ in range(count))))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def metadata(name, config, programs, family="swae"):
    texts = {f"program.{key}": json.dumps(p, separators=(",", ":")) for key, p in programs.items()}
    return {"format": "h5neural-weights-1", "name": name, "family": family, "config": json.dumps(config), **texts}


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


def three_branch():
    """Cells of 2^3 points whose latent is their mean, tiles of 4^3 cells; the encoder is handed spectra and weighs them
    with 0. Golden payloads use it too."""
    def cubes(n, limit):
        return {"shape": [n, n, n, 1], "min": -limit, "max": limit}

    def conv(op, source, weight, stride):
        return {"op": op, "in": [source], "weight": weight, "bias": "zero", "stride": [stride] * 3, "before": [0] * 3,
                "after": [0] * 3}

    programs = {
        "encode": {"inputs": [cubes(12, 16383)] * 3,
                   "ops": [conv("conv", 0, "cell", 2), conv("conv", 1, "none", 2), conv("conv", 2, "none", 2),
                           {"op": "add", "in": [3, 4]}, {"op": "add", "in": [6, 5]}, requantise(7, 16383, 1, 5),
                           conv("conv", 8, "middle", 1)],
                   "outputs": [9]},
        "decode": {"inputs": [cubes(6, 16383)],
                   "ops": [conv("conv", 0, "middle", 1), conv("conv_transposed", 1, "cell", 2),
                           requantise(2, 1 << 18, 16, 0)],
                   "outputs": [3]}}
    tables, symbols = 12, 16
    frequencies = []
    for k in range(tables):  # the wider the larger k; integers alone, the same everywhere
        row = [1 + (64 >> min(6, (s + 1) // 2 * 12 // (k + 3))) * 3 for s in range(symbols)]
        row[0] += 4096 - sum(row)
        frequencies += row
    tensors = {"middle": ("I8", [1, 3, 3, 3, 1], [0] * 13 + [1] + [0] * 13), "cell": ("I8", [1, 2, 2, 2, 1], [1] * 8),
               "none": ("I8", [1, 2, 2, 2, 1], [0] * 8), "zero": ("I32", [1], [0]),
               "predict": ("I16", [1, 7], [128, 64, 0, 0, 0, 0, -32]), "spread": ("I16", [1, 9], [40] * 9),
               "floor": ("I32", [3, 1], [400, 200, 60]), "steps": ("I32", [3, 1], [4, 16, 64]),
               "thresholds": ("I32", [tables - 1], [64 << k for k in range(tables - 1)]),
               "frequencies": ("I16", [tables, symbols], frequencies)}
    config = {"rank": 3, "step": 2, "tile": 4, "bins": [2048, 8192, 32768]}
    return metadata("seed-three-branch", config, programs, "three-branch"), tensors


def plane(n, channels, limit=16383):
    return {"shape": [n, n, channels], "min": -limit, "max": limit}


def flat(op, source, weight, bias, stride):
    return {"op": op, "in": [source], "weight": weight, "bias": bias, "stride": [stride] * 2, "before": [0] * 2, "after": [0] * 2}


# Latents of series. Cells of 2^2 points whose latent is their mean, tiles of 4^2 cells; golden payloads use all of them.
LATENT_TENSORS = {"cell": ("I8", [1, 2, 2, 1], [1] * 4), "zero": ("I32", [1], [0])}
LATENT_CONFIG = {"window": 1, "step": 2, "tile": 4, "hyper": 2, "hyper_step": 16, "memory": 0, "motion": 0, "every": 1,
                 "start": 0, "bins": [2048, 8192, 32768]}
# A sum of four numbers in 2^-10 as their mean in 2^-8; latents as points in 2^-12; cells of hyper-latents.
MEAN_OF_CELL = {"inputs": [plane(8, 1)], "ops": [flat("conv", 0, "cell", "zero", 2), requantise(1, 16383, 1, 4)], "outputs": [2]}
POINTS_OF_CELL = {"inputs": [plane(4, 1)],
                  "ops": [flat("conv_transposed", 0, "cell", "zero", 2), requantise(1, 1 << 18, 16, 0)], "outputs": [2]}
MEAN_OF_FOUR = {"inputs": [plane(4, 1)], "ops": [flat("conv", 0, "cell", "zero", 2), requantise(1, 16383, 1, 2)], "outputs": [2]}


def steps(channels):
    return "I32", [3, channels], [s for s in (4, 16, 64) for _ in range(channels)]


def vae():
    """Two frames at a time; hyper-latents are means of four cells, and what is expected of their latents."""
    pairs = [int(c == d) for c in range(2) for _ in range(4) for d in range(2)]  # [2, 2, 2, 2]: each frame for itself
    ring = [k for c in range(2) for at in range(9) for d in range(2) for k in [(c == d) * (56 if at == 4 else 1)]]
    programs = {
        "encode": {"inputs": [plane(8, 2)], "ops": [flat("conv", 0, "pairs", "none", 2), requantise(1, 16383, 1, 4)],
                   "outputs": [2]},
        "hyper-encode": {"inputs": [plane(4, 2)],
                         "ops": [flat("conv", 0, "all", "zero", 2), requantise(1, 16383, 1, 3)], "outputs": [2]},
        "prior": {"inputs": [plane(2, 1)], "ops": [flat("conv_transposed", 0, "expect", "spread", 2)], "outputs": [1]},
        "decode": {"inputs": [plane(6, 2)],
                   "ops": [flat("conv", 0, "ring", "none", 1), requantise(1, 16383, 1, 6),
                           flat("conv_transposed", 2, "pairs", "none", 2), requantise(3, 1 << 18, 16, 0)],
                   "outputs": [4]}}
    tensors = {**LATENT_TENSORS, "pairs": ("I8", [2, 2, 2, 2], pairs), "none": ("I32", [2], [0, 0]),
               "ring": ("I8", [2, 3, 3, 2], ring), "all": ("I8", [1, 2, 2, 2], [1] * 8),
               "expect": ("I8", [4, 2, 2, 1], [1] * 8 + [0] * 8), "spread": ("I32", [4], [0, 0, 30, 32]),
               "hyper_spread": ("I32", [1], [28]), "steps": steps(2)}
    return metadata("seed-vae", {**LATENT_CONFIG, "window": 2}, programs, "vae"), tensors


def contextual():
    """The displaced frame, and by how much the means of its cells are off; hyper-latents say nothing."""
    programs = {
        "encode": {"inputs": [plane(8, 1), plane(8, 1, 32767)],
                   "ops": [flat("conv", 0, "cell", "zero", 2), requantise(2, 16383, 1, 4)], "outputs": [3]},
        "hyper-encode": {**MEAN_OF_FOUR, "ops": [flat("conv", 0, "nothing", "zero", 2), requantise(1, 16383, 1, 2)]},
        "prior": {"inputs": [plane(2, 1), plane(8, 1, 32767)],
                  "ops": [flat("conv", 1, "seen", "spread", 2),
                          {"op": "requantise", "in": [2], "multiplier": 1, "shift": 6, "min": -16383, "max": 16383},
                          flat("conv_transposed", 0, "wider", "none", 2), {"op": "requantise", "in": [4], "multiplier": 1, "shift": 4,
                                                                         "min": -16383, "max": 16383},
                          {"op": "add", "in": [3, 5]}],
                  "outputs": [6]},
        "decode": {"inputs": [plane(4, 1), plane(8, 1, 32767)],
                   "ops": [flat("conv_transposed", 0, "up", "zero", 2), flat("conv", 1, "cell", "zero", 2),
                           requantise(3, 32767, 1, 2), flat("conv_transposed", 4, "less", "zero", 2),
                           {"op": "add", "in": [2, 5]}, {"op": "add", "in": [6, 1]},
                           {"op": "clamp", "in": [7], "min": -(1 << 18), "max": 1 << 18}],
                   "outputs": [8]}}
    tensors = {**LATENT_TENSORS, "seen": ("I8", [2, 2, 2, 1], [1] * 4 + [0] * 4), "spread": ("I32", [2], [0, 16 * 64]),
               "wider": ("I8", [2, 2, 2, 1], [0] * 4 + [1] * 4), "none": ("I32", [2], [0, 0]),
               "up": ("I8", [1, 2, 2, 1], [16] * 4), "less": ("I8", [1, 2, 2, 1], [-1] * 4),
               "nothing": ("I8", [1, 2, 2, 1], [0] * 4), "hyper_spread": ("I32", [1], [0]), "steps": steps(1)}
    return metadata("seed-contextual", {**LATENT_CONFIG, "motion": 4}, programs, "contextual"), tensors


def all_around():
    """By how much the means of cells differ from those of the displaced frame, as kernels that look beyond the tile in every
    program and every input, a little: what lies there shows. Hyper-latents are means of four cells."""
    def corners(n, inner, outer):  # [n, n]: `inner` in the middle, `outer` in the corners
        middle, ends = ((n - 1) // 2, n // 2), (0, n - 1)
        return [inner if i in middle and j in middle else outer if i in ends and j in ends else 0
                for i in range(n) for j in range(n)]

    def kept(source, limit, shift):
        return requantise(source, limit, 1, shift)

    programs = {
        "encode": {"inputs": [plane(12, 1), plane(12, 1, 32767)],
                   "ops": [flat("conv", 0, "mean", "zero", 2), kept(2, 16383, 10), flat("conv", 1, "less", "zero", 2),
                           kept(4, 16383, 12), {"op": "add", "in": [3, 5]}, {"op": "clamp", "in": [6], "min": -16383, "max": 16383}],
                   "outputs": [7]},
        "hyper-encode": {"inputs": [plane(6, 1)], "ops": [flat("conv", 0, "four", "zero", 2), kept(1, 16383, 6)], "outputs": [2]},
        "prior": {"inputs": [plane(4, 1), plane(6, 1), plane(12, 1, 32767)],
                  "ops": [flat("conv", 0, "smooth", "zero", 1), kept(3, 16383, 6), flat("conv_transposed", 4, "cell", "zero", 2),
                          flat("conv", 1, "remember", "zero", 1), kept(6, 16383, 6), flat("conv", 2, "look", "zero", 2),
                          kept(8, 16383, 10), {"op": "add", "in": [5, 7]}, {"op": "add", "in": [10, 9]},
                          flat("conv", 11, "both", "spread", 1), kept(12, 16383, 0)],
                  "outputs": [13]},
        "decode": {"inputs": [plane(6, 1), plane(12, 1, 32767)],
                   "ops": [flat("conv", 0, "smooth", "zero", 1), kept(2, 16383, 6), flat("conv_transposed", 3, "up", "zero", 2),
                           flat("conv", 1, "near", "zero", 1), kept(5, 32767, 8), {"op": "add", "in": [4, 6]},
                           {"op": "clamp", "in": [7], "min": -(1 << 18), "max": 1 << 18}],
                   "outputs": [8]}}
    tensors = {**LATENT_TENSORS, "mean": ("I8", [1, 6, 6, 1], corners(6, 63, 1)),
               "less": ("I8", [1, 6, 6, 1], corners(6, -63, -1)), "four": ("I8", [1, 4, 4, 1], corners(4, 15, 1)),
               "smooth": ("I8", [1, 3, 3, 1], corners(3, 60, 1)), "remember": ("I8", [1, 3, 3, 1], corners(3, 0, 1)),
               "look": ("I8", [1, 6, 6, 1], [v * (-1) ** k for k, v in enumerate(corners(6, 0, 2))]),
               "up": ("I8", [1, 2, 2, 1], [16] * 4), "near": ("I16", [1, 5, 5, 1], corners(5, 252, 1)),
               "both": ("I8", [2, 1, 1, 1], [1, 0]), "spread": ("I32", [2], [0, 16]), "hyper_spread": ("I32", [1], [4]),
               "steps": steps(1)}
    config = {**LATENT_CONFIG, "memory": 1, "motion": 4}
    return metadata("seed-contextual-around", config, programs, "contextual"), tensors


def dcae():
    """Latents go on straight; there are no hyper-latents."""
    straight = [0] * 8 + [2, -1] + [0] * 8 + [0] * 18
    programs = {"encode": MEAN_OF_CELL, "decode": POINTS_OF_CELL,
                "prior": {"inputs": [plane(6, 2)], "ops": [flat("conv", 0, "straight", "spread", 1), requantise(1, 16383, 1, 0)],
                          "outputs": [2]}}
    tensors = {**LATENT_TENSORS, "straight": ("I8", [2, 3, 3, 2], straight), "spread": ("I32", [2], [0, 26]), "steps": steps(1)}
    return metadata("seed-dcae", {**LATENT_CONFIG, "hyper": 0, "memory": 2}, programs, "dcae"), tensors


def diffusion():
    """Two of three frames from those around them, in two steps: in between, under noise at first."""
    programs = {
        "encode": MEAN_OF_CELL, "hyper-encode": MEAN_OF_FOUR, "decode": POINTS_OF_CELL,
        "prior": {"inputs": [plane(2, 1)], "ops": [flat("conv_transposed", 0, "expect", "spread", 2)], "outputs": [1]},
        "generate": {"inputs": [plane(6, 2), plane(4, 2), plane(4, 1, 100)],
                     "ops": [flat("conv", 0, "around", "none", 1), flat("conv", 1, "between", "none", 1),
                             flat("conv", 2, "level", "none", 1), {"op": "add", "in": [3, 4]}, {"op": "add", "in": [6, 5]},
                             requantise(7, 16383, 1, 6)],
                     "outputs": [8]}}
    around = [k for c in range(2) for at in range(9) for d in range(2) for k in [int(c == d and at != 4)]]
    tensors = {**LATENT_TENSORS, "expect": ("I8", [2, 2, 2, 1], [1] * 4 + [0] * 4), "spread": ("I32", [2], [0, 30]),
               "around": ("I8", [2, 3, 3, 2], around), "between": ("I8", [2, 1, 1, 2], [43, 21, 21, 43]),
               "level": ("I8", [2, 1, 1, 1], [3, -3]), "none": ("I32", [2], [0, 0]), "hyper_spread": ("I32", [1], [28]),
               "levels": ("I32", [2, 1], [100, 0]), "sampler": ("I32", [2, 3], [3000, 12000, 400, 200, 16184, 0]),
               "steps": steps(1)}
    return metadata("seed-diffusion", {**LATENT_CONFIG, "every": 3, "start": 40}, programs, "diffusion"), tensors


def frames(name, predict, between=None, tile=6, rank=2, periodic=False):
    """Frames predicted by a convolution: kernels [(2 halo + 1)^rank points][frames], the same points for both
    programs."""
    side = round(len(predict) ** (1 / rank))
    programs, tensors = {}, {"zero": ("I32", [1], [0])}
    for key, kernel in (("predict", predict), ("between", between)):
        if kernel is None:
            continue
        bits = 12
        while 32767 * sum(abs(c) for point in kernel for c in point) * 2**bits >= 2**30:  # sums stay below 2^31
            bits -= 1
        tensors[key] = ("I16", [1] + [side] * rank + [len(kernel[0])], [round(c * 2**bits) for p in kernel for c in p])
        programs[key] = {
            "inputs": [{"shape": [tile + side - 1] * rank + [len(kernel[0])], "min": -32767, "max": 32767}],
            "ops": [{"op": "conv", "in": [0], "weight": key, "bias": "zero", "stride": [1] * rank, "before": [0] * rank,
                     "after": [0] * rank}, requantise(1, 1 << 18, 1, bits)],
            "outputs": [2]}
    config = {"rank": rank, "history": len(predict[0]), "tile": tile, "halo": side // 2, "unit": 4096,
              "periodic": periodic}
    return metadata(name, config, programs, "frames"), tensors


def plane_frames():
    """Straight on, less what a point stands out by; the mean. Golden payloads use it too."""
    ring, none = [(-0.03, 0.05)] * 4, [(0, 0)] * 4
    return frames("seed-frames", ring + [(-0.76, 1.6)] + ring, none + [(0.5, 0.5)] + none)


def solid_frames():
    """The last frame, spread a little; in three dimensions. Golden payloads use it too."""
    ring = [(0.01,)] * 13
    return frames("seed-frames-solid", ring + [(0.75,)] + ring, tile=4, rank=3)


def corrections(knows=True, seed=23, pairs=3, differences=2, magnitudes=2, from_context=0):
    """A network for the walk with one hidden layer. It `knows` that a value is the larger one of its two nearest neighbours,
    the rest is drawn at random: a little beside what it knows, else all of it. Golden payloads use the first one."""
    rng = random.Random(seed)
    limits = (pairs + differences) * [(-1023, 1023)] + 2 * magnitudes * [(0, 255)] + [(0, 140)] + 5 * [(-124, 124)] + \
        [(0, 128)] + 11 * [(0, 64)]
    inputs, hidden = len(limits), 8
    draw = lambda count, most: [rng.randint(-most, most) for _ in range(count)]
    rows = [draw(inputs, 8) for _ in range(hidden)]
    move, change = (draw(hidden, 1), draw(hidden, 3)) if knows else (draw(hidden, 40), draw(hidden, 20))
    if knows:  # half the distance of the two, in 32nds of the expected magnitude: four of its eighths
        for row, sign in (0, 1), (1, -1):
            rows[row] = [64 * sign * (k == pairs) for k in range(inputs)]
        move[:2], change[:2] = (64, 64), (0, 0)
    ops = [dense(0, "hidden", "zeros"), {"op": "requantise", "in": [1], "multiplier": 1, "shift": 4, "min": 0, "max": 1023},
           dense(2, "move", "zero"), requantise(3, 255, 1, 6), dense(2, "change", "zero"), requantise(5, 64, 1, 6),
           {"op": "concat", "in": [4, 6]}]
    programs = {"refine": {"inputs": [{"shape": [inputs], "min": "least", "max": "most"}], "ops": ops, "outputs": [7]}}
    tensors = {"least": ("I32", [inputs], [a for a, _ in limits]), "most": ("I32", [inputs], [b for _, b in limits]),
               "hidden": ("I8", [hidden, inputs], sum(rows, [])), "zeros": ("I32", [hidden], [0] * hidden),
               "zero": ("I32", [1], [0]), "move": ("I8", [1, hidden], move), "change": ("I8", [1, hidden], change)}
    config = {"pairs": pairs, "differences": differences, "magnitudes": magnitudes, "from_context": from_context}
    return metadata("seed-corrections" if knows else f"random-corrections-{seed}", config, programs, "corrections"), tensors


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


def worker():
    """Seeds of worker_fuzz: messages as engine/worker/protocol.h lays them out, and a program on its way to the worker."""
    folder = os.path.join(HERE, "seeds", "worker")
    os.makedirs(folder, exist_ok=True)

    def message(kind, items=0, segment=0, text=b""):
        return b"\0h5nw" + struct.pack("<3I", 1, kind, len(text)) + bytes(32) + struct.pack("<2Q", items, segment) + text

    for name, seed in (("hello", message(1)), ("run", message(3, 17, 1 << 20)), ("refused", message(19, text=b"no"))):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(seed)
    program = {"inputs": [value(8, 90)], "ops": [dense(0, "w", "b"), requantise(1, 127)], "outputs": [2]}
    path = os.path.join(folder, "program")
    safetensors(path, metadata("run", {}, {"run": program}, "program"), {"w": ("I16", [2, 8]), "b": ("I32", [2])})
    with open(path, "rb") as f:
        travels = b"\1" + f.read()
    with open(path, "wb") as f:
        f.write(travels)


def main():
    worker()
    folder = os.path.join(HERE, "seeds", "weights")
    os.makedirs(folder, exist_ok=True)
    makers = (("block", block), ("blocks", blocks), ("chunk", chunk), ("three-branch", three_branch),
              ("vae", vae), ("contextual", contextual), ("contextual-around", all_around),
              ("dcae", dcae), ("diffusion", diffusion), ("frames", plane_frames), ("frames-solid", solid_frames),
              ("corrections", corrections))
    for name, make in makers:
        safetensors(os.path.join(folder, name + ".safetensors"), *make())
    if len(sys.argv) > 1:
        linear(sys.argv[1], folder)


if __name__ == "__main__":
    main()
