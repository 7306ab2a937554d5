"""The header and the arrays of a weights file, read by docs/weights-format.md alone. May not import anything of the
engine.
"""
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

    def array(self, name):
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        kind = {"I8": "i1", "I16": "<i2", "I32": "<i4"}[entry["dtype"]]
        return np.frombuffer(self.data[begin:end], kind).astype("i8").reshape(entry["shape"])
