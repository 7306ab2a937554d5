"""The engine's C API (engine/include/h5neural/h5neural.h) through ctypes, for the measuring scripts.

Mirrors the header, struct for struct. A member out of place shows in the extents that `inspect` gives back, which
make_golden.py and measure-fields check.
"""
import ctypes as c
import os

import numpy as np

LOSSLESS, ABS, REL, RATIO, PSNR, NRMSE, BLOCK_NRMSE = range(7)
MODES = {"lossless": LOSSLESS, "abs": ABS, "rel": REL, "ratio": RATIO, "psnr": PSNR, "nrmse": NRMSE,
         "block-nrmse": BLOCK_NRMSE}
KINDS = ("raw", "lossless", "walk", "constant", "repeats", "transform", "frames")
TYPES = {4: 1, 8: 2}  # bytes of a value -> H5N_FLOAT32, H5N_FLOAT64
ERR_CORRUPT = 3
MODEL_AUTO, MODEL_NONE = 0, 2**64 - 1
MAX_RANK = 8

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(SOURCE, "build", "release")


class Params(c.Structure):
    _fields_ = [("mode", c.c_uint32), ("bound", c.c_double), ("model", c.c_uint64), ("effort", c.c_uint32),
                ("type", c.c_uint32), ("big_endian", c.c_uint32), ("rank", c.c_uint32),
                ("dims", c.c_uint64 * MAX_RANK), ("has_fill", c.c_uint32), ("fill", c.c_uint64)]


class Error(c.Structure):
    _fields_ = [("status", c.c_int32), ("message", c.c_char * 508)]


class Info(c.Structure):
    _fields_ = [("version", c.c_uint32), ("kind", c.c_uint32), ("mode", c.c_uint32), ("bound", c.c_double),
                ("abs_bound", c.c_double), ("type", c.c_uint32), ("big_endian", c.c_uint32), ("rank", c.c_uint32),
                ("dims", c.c_uint64 * MAX_RANK), ("raw_bytes", c.c_uint64), ("model", c.c_uint64),
                ("model_name", c.c_char * 64), ("header_bytes", c.c_uint64), ("latents_bytes", c.c_uint64),
                ("corrections_bytes", c.c_uint64), ("specials_bytes", c.c_uint64), ("specials", c.c_uint64)]


class EngineError(Exception):
    """A status of the C API other than 0: (status, message)."""

    def __init__(self, error):
        self.status, self.message = error.status, error.message.decode()
        super().__init__(self.message)


class Engine:
    """libh5neural.so, by default the one of build/release."""

    def __init__(self, path=None):
        self.path = path or os.path.join(BUILD, "lib", "h5neural", "libh5neural.so")
        if not os.path.exists(self.path):
            raise SystemExit(f"no engine at {self.path}; run tools/demo, or cmake --preset release && "
                             "cmake --build --preset release, or name another with --engine")
        lib = c.CDLL(self.path)
        lib.h5n_encode.argtypes = [c.POINTER(Params), c.c_void_p, c.c_size_t, c.POINTER(c.c_void_p),
                                   c.POINTER(c.c_size_t), c.POINTER(Error)]
        lib.h5n_decode.argtypes = [c.c_char_p, c.c_size_t, c.c_void_p, c.c_size_t, c.POINTER(Error)]
        lib.h5n_inspect.argtypes = [c.c_char_p, c.c_size_t, c.POINTER(Info), c.POINTER(Error)]
        lib.h5n_free.argtypes = [c.c_void_p]
        lib.h5n_version.restype = c.c_char_p
        self.lib = lib

    def encode(self, a, mode, bound=0.0, fill=None, model=MODEL_AUTO, effort=5):
        """The payload of array `a` (float32 or float64, either byte order, rank 1 to 8) as bytes."""
        a = np.ascontiguousarray(a)
        big = a.dtype.byteorder == ">"
        p = Params(mode=mode, bound=bound, model=model, effort=effort, type=TYPES[a.dtype.itemsize], big_endian=big,
                   rank=a.ndim)
        p.dims[:a.ndim] = a.shape
        if fill is not None:
            p.has_fill = 1
            p.fill = int(np.array(fill, f"f{a.dtype.itemsize}").view(f"u{a.dtype.itemsize}"))
        out, size, error = c.c_void_p(), c.c_size_t(), Error()
        if self.lib.h5n_encode(p, a.ctypes.data, a.nbytes, out, size, error):
            raise EngineError(error)
        try:
            return c.string_at(out, size.value)
        finally:
            self.lib.h5n_free(out)

    def decode(self, payload, raw_bytes):
        """The chunk's bytes, in the byte order of the writer."""
        out, error = c.create_string_buffer(max(raw_bytes, 1)), Error()
        if self.lib.h5n_decode(payload, len(payload), out, raw_bytes, error):
            raise EngineError(error)
        return out.raw[:raw_bytes]

    def inspect(self, payload):
        """The payload's Info."""
        info, error = Info(), Error()
        if self.lib.h5n_inspect(payload, len(payload), info, error):
            raise EngineError(error)
        return info
