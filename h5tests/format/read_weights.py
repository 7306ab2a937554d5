"""The header, the arrays and the programs of a weights file, read by docs/weights-format.md alone. Integers throughout; slow
and plain. May not import anything of the engine.
"""
import hashlib
import itertools
import json
import struct

import numpy as np


class WeightsFile:
    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        n = struct.unpack("<Q", data[:8])[0]
        self.header, self.data = json.loads(data[8:8 + n]), data[8 + n:]
        self.metadata = self.header["__metadata__"]
        self.config = json.loads(self.metadata["config"])
        self.hash = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")  # what payloads call it by

    def array(self, name):
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        kind = {"I8": "i1", "I16": "<i2", "I32": "<i4"}[entry["dtype"]]
        return np.frombuffer(self.data[begin:end], kind).astype("i8").reshape(entry["shape"])

    def number(self, what):
        """An integer, or the array of that name."""
        return self.array(what) if isinstance(what, str) else what

    def program(self, name):
        return json.loads(self.metadata["program." + name])

    def run(self, name, *inputs):
        """The outputs of a program. Inputs are of one item, or with one axis for many items in front (not of programs with
        convolutions, which take one)."""
        program = self.program(name)
        values = []
        for x, given in zip(inputs, program["inputs"], strict=True):
            x = np.asarray(x, "i8")
            assert (self.number(given["min"]) <= x).all() and (x <= self.number(given["max"])).all()
            values.append(x)
        many = values[0].ndim - len(program["inputs"][0]["shape"])
        for op in program["ops"]:
            x = [values[i] for i in op["in"]]
            if op["op"] == "linear":
                y = x[0] @ self.array(op["weight"]).T + self.array(op["bias"])
            elif op["op"] in ("conv", "conv_transposed"):
                assert not many
                y = (convolve if op["op"] == "conv" else convolve_transposed)(x[0], self.array(op["weight"]), op)
                y += self.array(op["bias"])
            elif op["op"] == "add":
                y = x[0] + x[1]
            elif op["op"] == "concat":
                y = np.concatenate(x, axis=many)
            elif op["op"] == "reshape":
                y = x[0].reshape(*x[0].shape[:many], *op["shape"])
            elif op["op"] == "clamp":
                y = np.clip(x[0], op["min"], op["max"])
            elif op["op"] == "requantise":
                half = 1 << op["shift"] - 1 if op["shift"] else 0
                y = np.clip((x[0] * self.number(op["multiplier"]) + half) >> op["shift"], op["min"], op["max"])
            elif op["op"] == "table":
                y = self.array(op["table"])[x[0] - op["first"]]
            values.append(y)
        return [values[i] for i in program["outputs"]]


def taps(w):
    return itertools.product(*map(range, w.shape[1:-1]))


def convolve(x, w, op):
    x = np.pad(x, [*zip(op["before"], op["after"]), (0, 0)])
    m = [(n - k) // s + 1 for n, k, s in zip(x.shape, w.shape[1:-1], op["stride"])]
    y = np.zeros((*m, len(w)), "i8")
    for t in taps(w):
        part = x[tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(t, op["stride"], m))]
        y += part @ w[(slice(None), *t)].T
    return y


def convolve_transposed(x, w, op):
    full = [(n - 1) * s + k for n, k, s in zip(x.shape, w.shape[1:-1], op["stride"])]
    y = np.zeros((*full, len(w)), "i8")
    for t in taps(w):
        at = tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(t, op["stride"], x.shape))
        y[at] += x @ w[(slice(None), *t)].T
    assert min(op["after"]) >= 0
    return y[tuple(slice(b, n - a) for b, a, n in zip(op["before"], op["after"], full))]
