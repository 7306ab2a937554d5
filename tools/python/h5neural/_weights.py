"""The weights that the engine finds, by name. Asks libh5neural.so, which stands beside the plugin's folder."""
import ctypes
import os

from ._plugin import PluginNotFound, plugin_path


class _Weights(ctypes.Structure):  # h5n_weights of h5neural/h5neural.h
    _fields_ = [("hash", ctypes.c_uint64), ("sha256", ctypes.c_char * 65), ("name", ctypes.c_char * 64),
                ("family", ctypes.c_char * 32), ("source", ctypes.c_char * 512), ("problem", ctypes.c_char * 256)]


def hashes_by_name():
    """Name to the first 64 bits of the SHA-256, of all weights that the search order finds and that are usable; the
    first of a name counts. A family ("linear") is a name too, where the first place that has weights of it has no others
    of it. Empty where there is no engine."""
    try:
        engine = ctypes.CDLL(os.path.join(os.path.dirname(plugin_path()), "libh5neural.so"))
    except (PluginNotFound, OSError):
        return {}
    engine.h5n_weights_get.argtypes = [ctypes.c_uint32, ctypes.POINTER(_Weights)]
    engine.h5n_weights_get.restype = ctypes.c_int32
    found, families, weights, index = {}, {}, _Weights(), 0
    while engine.h5n_weights_get(index, ctypes.byref(weights)):
        if not weights.problem:
            found.setdefault(weights.name.decode(errors="replace"), weights.hash)
            place = os.path.dirname(weights.source)
            first, hashes = families.setdefault(weights.family.decode(errors="replace"), (place, set()))
            if place == first:
                hashes.add(weights.hash)
        index += 1
    for family, (_, hashes) in families.items():
        if len(hashes) == 1:
            found.setdefault(family, *hashes)
    return found
