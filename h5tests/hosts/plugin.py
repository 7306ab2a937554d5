"""The plugin without any HDF5: loads it as libhdf5 does and calls its filter function on buffers of the C library.

For what no program can show: the contract of a filter's callback, and calls from several threads at once.
"""
import ctypes
import os

import numpy as np

REVERSE = 0x0100
_libc = ctypes.CDLL(None)
_libc.malloc.restype, _libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]

_FILTER = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_uint, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint),
                           ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_void_p))


class FilterClass(ctypes.Structure):  # H5Z_class2_t
    _fields_ = [("version", ctypes.c_int), ("id", ctypes.c_int), ("encoder_present", ctypes.c_uint),
                ("decoder_present", ctypes.c_uint), ("name", ctypes.c_char_p), ("can_apply", ctypes.c_void_p),
                ("set_local", ctypes.c_void_p), ("filter", _FILTER)]


def load():
    library = ctypes.CDLL(os.path.join(os.environ["H5NEURAL_PLUGIN_DIR"], "libh5zneural.so"))
    library.H5PLget_plugin_info.restype = ctypes.POINTER(FilterClass)
    return library, library.H5PLget_plugin_info().contents


def stored_words(values, words=()):
    """The words that set_local stores for a chunk of this shape and type, without a fill value (cd_values.h)."""
    given = (list(words) + [0, 0, 0, 0, 0, 5][len(words):])[:6]
    kind = {4: 1, 8: 2}[values.dtype.itemsize]
    big = values.dtype.newbyteorder("=") != values.dtype
    return (*given, 1 | kind << 8 | values.ndim << 12 | int(big) << 16, *values.shape)


def call(data, words, flags=0, spare=0):
    """Filters `data` (bytes): the result as bytes, or None when the filter failed. `spare`: more room in the buffer.

    On failure asserts that the buffer is as it was.
    """
    _, filter_class = load()
    first = _libc.malloc(max(1, len(data) + spare))
    ctypes.memmove(first, data, len(data))
    buf, size = ctypes.c_void_p(first), ctypes.c_size_t(len(data) + spare)
    n = filter_class.filter(flags, len(words), (ctypes.c_uint * len(words))(*words), len(data), ctypes.byref(size),
                            ctypes.byref(buf))
    try:
        if n == 0:
            assert buf.value == first and size.value == len(data) + spare, "a failed call replaced the buffer"
            assert ctypes.string_at(first, len(data)) == data, "a failed call changed the buffer"
            return None
        assert n <= size.value, "more bytes returned than allocated"
        return ctypes.string_at(buf.value, n)
    finally:
        _libc.free(buf.value)


def encode(values, words=()):
    return call(np.ascontiguousarray(values).tobytes(), stored_words(values, words))


def decode(payload, values, words=()):
    back = call(payload, stored_words(values, words), REVERSE)
    return None if back is None else np.frombuffer(back, values.dtype).reshape(values.shape)
