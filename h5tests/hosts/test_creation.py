"""Creating a dataset, in every libhdf5 at hand: each case either works, or is refused with a sentence.

Both with the optional flag (h5py, h5netcdf and xarray set it always) and without (h5repack, nccopy).
"""
import ctypes

import numpy as np
import pytest

import fields
from fields import ABS, ID, ieee
from hdf5_library import FLETCHER32, MANDATORY, OPTIONAL, SHUFFLE, Hdf5Error

GOOD = (ABS, 1, 3)
FLAGS = pytest.mark.parametrize("flag", [MANDATORY, OPTIONAL], ids=["mandatory", "optional"])


def make(hdf5, path, file_type, shape, filters, fill=None, values=None):
    """Creates one dataset, in chunks of its whole shape, and writes and reads `values`; returns words and values."""
    file = hdf5.create_file(path)
    try:
        dcpl = hdf5.creation_list(shape, filters, fill)
        dataset = hdf5.create_dataset(file, "u", file_type, shape, dcpl)
        words = hdf5.filter_words(dataset, ID)
        if values is not None:
            hdf5.write(dataset, values)
        hdf5.close_dataset(dataset)
    finally:
        hdf5.close_file(file)
    if values is None:
        return words, None
    file = hdf5.open_file(path)
    try:
        return words, hdf5.read(file, "u", shape, values.dtype)
    finally:
        hdf5.close_file(file)


@FLAGS
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("rank", [1, 2, 3, 8])
def test_served(hdf5, tmp_path, flag, dtype, rank):
    shape = (5, 4, 3, 2, 2, 3, 2, 2)[:rank]
    values = fields.wave(shape, dtype)
    words, back = make(hdf5, tmp_path / "a.h5", hdf5.type_of(dtype), shape, [(ID, flag, GOOD)], values=values)
    fields.check(values, back, ABS, 1e-3)
    kind = 1 if np.dtype(dtype).itemsize == 4 else 2
    assert words == (*GOOD, 0, 0, 5, 1 | kind << 8 | rank << 12 | (dtype[0] == ">") << 16, *shape)


TYPES_REFUSED = {
    "int8": ("integers", lambda h: h.type_of("<i1")),
    "int32": ("integers", lambda h: h.type_of("<i4")),
    "uint64, big endian": ("integers", lambda h: h.type_of(">u8")),
    "float16": ("16 bits", lambda h: h.type_of("<f2")),
    "bfloat16": ("16 bits", lambda h: h.float_type(2, sign=15, exponent=7, exponent_size=8, mantissa_size=7, bias=127)),
    "long double": ("128 bits", lambda h: h.predefined("H5T_NATIVE_LDOUBLE_g")),
    "other bias": ("not IEEE 754",
                   lambda h: h.float_type(4, sign=31, exponent=23, exponent_size=8, mantissa_size=23, bias=126)),
    "other exponent": ("not IEEE 754",
                       lambda h: h.float_type(4, sign=31, exponent=20, exponent_size=11, mantissa_size=20, bias=127)),
    "VAX": ("not IEEE 754", lambda h: h.predefined("H5T_VAX_F32_g")),
    "compound": ("compound values", lambda h: h.compound_type()),
    "array": ("array values", lambda h: h.array_type()),
    "string": ("no floating-point numbers", lambda h: h.predefined("H5T_C_S1_g")),
}


@FLAGS
@pytest.mark.parametrize("name", TYPES_REFUSED)
def test_types_refused(hdf5, tmp_path, flag, name):
    sentence, file_type = TYPES_REFUSED[name]
    with pytest.raises(Hdf5Error) as refusal:
        make(hdf5, tmp_path / "a.h5", file_type(hdf5), (8, 8), [(ID, flag, GOOD)])
    innermost = refusal.value.sentences[0]
    assert innermost.startswith("h5neural: ") and sentence in innermost
    assert "float32 and float64" in innermost  # what is served


WORDS_REFUSED = {
    "no bound": ((ABS,), "needs a bound"),
    "half a bound": ((ABS, 1), "needs a bound"),
    "bound 0": ((ABS, 0, 3), "zero, negative or no finite number"),
    "bound 0 as a double": (ieee(ABS, 0.0), "zero, negative or no finite number"),
    "negative mantissa": ((ABS, 2**32 - 1, 3), "zero, negative or no finite number"),
    "negative": (ieee(ABS, -1e-3), "zero, negative or no finite number"),
    "NaN": (ieee(ABS, float("nan")), "zero, negative or no finite number"),
    "infinite": (ieee(ABS, float("inf")), "zero, negative or no finite number"),
    "pointwise relative 1": (ieee(fields.RATIO, 1.0), "h5neural: "),
    "mode 7": ((7, 1, 3), "unknown bound mode"),
    "unknown flag": ((0x1001, 1, 3), "unknown bound mode"),
    "half a model": ((ABS, 1, 3, 5), "value 4 is missing"),
    "effort 10": ((ABS, 1, 3, 0, 0, 10), "effort"),
}


@FLAGS
@pytest.mark.parametrize("name", WORDS_REFUSED)
def test_words_refused(hdf5, tmp_path, flag, name):
    words, sentence = WORDS_REFUSED[name]
    with pytest.raises(Hdf5Error) as refusal:
        make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f4"), (8, 8), [(ID, flag, words)])
    assert refusal.value.sentences[0].startswith("h5neural: ") and sentence in refusal.value.sentences[0]


@FLAGS
@pytest.mark.parametrize("rank", [9, 32])
def test_rank_refused(hdf5, tmp_path, flag, rank):
    with pytest.raises(Hdf5Error) as refusal:
        make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f4"), (1,) * rank, [(ID, flag, GOOD)])
    assert refusal.value.sentences[0].startswith(f"h5neural: this dataset has rank {rank}; served are ranks 1 to 8")


@FLAGS
@pytest.mark.parametrize("ahead", [SHUFFLE, FLETCHER32, 1])
def test_a_filter_ahead_is_refused(hdf5, tmp_path, flag, ahead):
    filters = [(ahead, OPTIONAL, (6,) if ahead == 1 else ()), (ID, flag, GOOD)]
    with pytest.raises(Hdf5Error) as refusal:
        make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f4"), (8, 8), filters)
    assert refusal.value.sentences[0].startswith(f"h5neural: another filter ({ahead}, ")


@FLAGS
def test_filters_behind_work(hdf5, tmp_path, flag):
    values = fields.wave((30, 20))
    filters = [(ID, flag, GOOD), (FLETCHER32, MANDATORY, ())]
    _, back = make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f4"), values.shape, filters, values=values)
    fields.check(values, back, ABS, 1e-3)


@FLAGS
def test_twice_is_refused(hdf5, tmp_path, flag):
    with pytest.raises(Hdf5Error) as refusal:
        make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f4"), (8, 8), [(ID, flag, GOOD)] * 2)
    assert "stands twice" in refusal.value.sentences[0]


@FLAGS
def test_a_property_list_reused_with_another_shape_type_and_fill(hdf5, tmp_path, flag):
    """Copy programs take the list of an existing dataset, words and all, and give it other chunks."""
    first, second = fields.wave((12, 10, 8)), fields.specials((7, 33), ">f8", 1e20)
    file = hdf5.create_file(tmp_path / "a.h5")
    dcpl = hdf5.creation_list(first.shape, [(ID, flag, GOOD)])
    a = hdf5.create_dataset(file, "a", hdf5.type_of("<f4"), first.shape, dcpl)
    hdf5.write(a, first)
    reused = hdf5.call("H5Dget_create_plist", a, returns=ctypes.c_int64)
    hdf5.set_chunk(reused, second.shape)
    hdf5.call("H5Pset_fill_value", reused, hdf5.type_of("<f8"), ctypes.byref(ctypes.c_double(1e20)))
    b = hdf5.create_dataset(file, "b", hdf5.type_of(">f8"), second.shape, reused)
    hdf5.write(b, second)
    low, high = ieee(0, 1e20)[1:]
    assert hdf5.filter_words(b, ID) == (*GOOD, 0, 0, 5, 1 | 2 << 8 | 2 << 12 | 1 << 16 | 2 << 17, 7, 33, low, high)
    # The list of the first with a smaller chunk, in the same rank.
    hdf5.set_chunk(dcpl, (5, 5, 5))
    c = hdf5.create_dataset(file, "c", hdf5.type_of("<f4"), first.shape, dcpl)
    hdf5.write(c, first)
    assert hdf5.filter_words(c, ID)[-3:] == (5, 5, 5)
    for dataset in (a, b, c):
        hdf5.close_dataset(dataset)
    hdf5.close_file(file)
    file = hdf5.open_file(tmp_path / "a.h5")
    fields.check(first, hdf5.read(file, "a", first.shape, "<f4"), ABS, 1e-3)
    fields.check(second, hdf5.read(file, "b", second.shape, ">f8"), ABS, 1e-3, fill=1e20)
    fields.check(first, hdf5.read(file, "c", first.shape, "<f4"), ABS, 1e-3)
    hdf5.close_file(file)


@FLAGS
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_fill_values_travel(hdf5, tmp_path, flag, dtype):
    for fill in (-9999.0, 9.9692099683868690e36, float("nan")):
        values = fields.specials((20, 30), dtype, fill)
        kind = np.dtype(dtype).newbyteorder("=").type
        _, back = make(hdf5, tmp_path / "a.h5", hdf5.type_of(dtype), values.shape, [(ID, flag, GOOD)], kind(fill),
                       values)
        fields.check(values, back, ABS, 1e-3, fill=fill)


@FLAGS
def test_rank_8_float64_with_a_fill_value_too_wide_for_the_words(hdf5, tmp_path, flag):
    with pytest.raises(Hdf5Error) as refusal:
        make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f8"), (2,) * 8, [(ID, flag, GOOD)], np.float64(1e20))
    assert "no room for the fill value 1e+20" in refusal.value.sentences[0]


@FLAGS
def test_every_library_reads_what_every_other_wrote(hdf5, tmp_path, flag):
    """`hdf5` writes; the rest read."""
    from conftest import _PATHS, Library
    values = fields.specials((20, 30, 10), "<f4", -1.0)
    make(hdf5, tmp_path / "a.h5", hdf5.type_of("<f4"), values.shape, [(ID, flag, GOOD)], np.float32(-1), values)
    read = []
    for path in _PATHS.values():
        other = Library(path)
        file = other.open_file(tmp_path / "a.h5")
        read.append(other.read(file, "u", values.shape, "<f4"))
        other.close_file(file)
        fields.check(values, read[-1], ABS, 1e-3, fill=-1.0)
        assert read[-1].tobytes() == read[0].tobytes()
    assert len(read) >= 3
