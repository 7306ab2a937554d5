"""The filter's values (cd_values) to and from a bound, a model and an effort. filter/cd_values.h of the project has the
schema; this is its Python spelling. Knows numbers only: no HDF5, no files.
"""
import decimal
import math
import struct

FILTER_ID = 41017

MODES = ("lossless", "abs", "rel", "ratio", "psnr", "nrmse", "block_nrmse")  # the place is the number of the mode
IEEE_BOUND = 0x100
MAX_PLACES = 400
MAX_MANTISSA = 2**31 - 1
REQUEST_WORDS = 6
DEFAULT_EFFORT = 5
MODEL_AUTO, MODEL_NONE = 0, 2**64 - 1


def pack_bound(bound):
    """(flags, first word, second word): mantissa and decimal places where they are exact, else a double's words."""
    sign, digits, exponent = decimal.Decimal(repr(bound)).normalize().as_tuple()
    mantissa, places = int("".join(map(str, digits))), -exponent
    if places < 0:
        mantissa, places = mantissa * 10**-places, 0
    if not sign and mantissa <= MAX_MANTISSA and places <= MAX_PLACES and float(f"{mantissa}e-{places}") == bound:
        return 0, mantissa, places
    return (IEEE_BOUND, *struct.unpack("<II", struct.pack("<d", bound)))


def unpack_bound(flags, first, second):
    """The bound of words 1 and 2, as the filter reads it."""
    if flags & IEEE_BOUND or second > MAX_PLACES:
        return struct.unpack("<d", struct.pack("<II", first, second))[0]
    return float(f"{first}e-{second}")


def pack(mode, bound, model, effort):
    """The words a user gives, without trailing ones at their default."""
    number = MODES.index(mode)
    more = model != MODEL_AUTO or effort != DEFAULT_EFFORT
    words = [number]
    if mode != "lossless":
        flags, first, second = pack_bound(bound)
        words = [number | flags, first, second]
    elif more:
        words = [number, 0, 0]
    if more:
        words += [model >> 32, model & 0xFFFFFFFF]
    if effort != DEFAULT_EFFORT:
        words.append(effort)
    return tuple(words)


def unpack(words):
    """(mode, bound, model, effort) of a dataset's words; bound is None for lossless. Raises ValueError."""
    words = list(words[:REQUEST_WORDS])
    head = words[0] if words else 0
    if head & 0xFF >= len(MODES) or head & ~(0xFF | IEEE_BOUND):
        raise ValueError(f"h5neural: unknown bound mode {head} in the filter's values; update h5neural")
    mode, bound = MODES[head & 0xFF], None
    if mode != "lossless":
        if len(words) < 3:
            raise ValueError("h5neural: the filter's values name a bound mode and no bound; the file is damaged")
        bound = unpack_bound(head, words[1], words[2])
        if not (bound > 0 and math.isfinite(bound)):
            raise ValueError(f"h5neural: the bound {bound} in the filter's values is none; the file is damaged")
    model = words[3] << 32 | words[4] if len(words) > 4 else MODEL_AUTO
    return mode, bound, model, words[5] if len(words) > 5 else DEFAULT_EFFORT
