"""What programs do to a dataset over its life: append, resize, rewrite in rows, copy, write chunks directly."""
import ctypes

import h5py
import numpy as np
import pytest

import fields
from fields import ABS, ID, LOSSLESS, decimal, ieee


def test_resize_and_append(tmp_path):
    values = fields.wave((50, 20, 30))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        d = f.create_dataset("u", (0, 20, 30), "f4", maxshape=(None, 20, 30), chunks=(8, 20, 30), compression=ID,
                             compression_opts=decimal(ABS, 1, 3))
        for start in range(0, 50, 8):
            d.resize(min(50, start + 8), axis=0)
            d[start:] = values[start : start + 8]
    with h5py.File(tmp_path / "a.h5", "r+") as f:
        fields.check(values, f["u"][...], ABS, 1e-3)
        f["u"].resize(11, axis=0)
        f["u"].resize(14, axis=0)
        fields.check(values[:8], f["u"][:8], ABS, 1e-3)
        fields.check(values[8:11], f["u"][8:11], ABS, 2e-3)  # cut off in the chunk's middle: encoded a second time
        assert (f["u"][11:] == 0).all(), "the fill value"


# HDF5 decodes a chunk, changes a part, and encodes it anew, values and errors of the first time included. Bins are
# centred on a prediction that is fitted to the chunk, so the second time they lie elsewhere.
drifts = pytest.mark.xfail(reason="each encoding of a chunk may move every value of it by up to the bound", strict=True)


@drifts
@pytest.mark.parametrize("rows", [1, 7])
def test_a_chunk_larger_than_the_cache_written_in_rows(tmp_path, rows):
    """Each write decodes the chunk and encodes it again: the bound must hold after the last as after the first."""
    values = fields.wave((28, 128))
    with h5py.File(tmp_path / "a.h5", "w", rdcc_nbytes=1024) as f:
        d = f.create_dataset("u", (28, 128), "f4", chunks=(28, 128), compression=ID,
                             compression_opts=decimal(ABS, 1, 3))
        for start in range(0, 28, rows):
            d[start : start + rows] = values[start : start + rows]
    with h5py.File(tmp_path / "a.h5") as f:
        fields.check(values, f["u"][...], ABS, 1e-3)


def test_a_chunk_larger_than_the_cache_written_in_rows_lossless(tmp_path):
    values = fields.specials((24, 128))
    with h5py.File(tmp_path / "a.h5", "w", rdcc_nbytes=1024) as f:
        d = f.create_dataset("u", (24, 128), "f4", chunks=(24, 128), compression=ID)
        for row in range(24):
            d[row] = values[row]
    with h5py.File(tmp_path / "a.h5") as f:
        fields.check(values, f["u"][...], LOSSLESS)


@drifts
def test_partial_rewrite_leaves_the_rest_within_the_bound(tmp_path):
    values = fields.wave((64, 64))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("u", data=values, chunks=(64, 64), compression=ID, compression_opts=decimal(ABS, 1, 3))
    for step in range(20):
        values[step, :] = np.cos(np.arange(64, dtype="f4") * step)
        with h5py.File(tmp_path / "a.h5", "r+") as f:
            f["u"][step, :] = values[step, :]
    with h5py.File(tmp_path / "a.h5") as f:
        fields.check(values, f["u"][...], ABS, 1e-3)


def test_fletcher32_behind_and_shuffle_ahead(tmp_path):
    values = fields.wave((40, 40))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        d = f.create_dataset("u", data=values, chunks=(20, 40), compression=ID, compression_opts=decimal(ABS, 1, 3),
                             fletcher32=True)
        f.flush()
        assert d.fletcher32
        with pytest.raises(ValueError, match=r"h5neural: another filter \(2, shuffle\) comes before"):
            f.create_dataset("v", data=values, chunks=(20, 40), compression=ID, compression_opts=decimal(ABS, 1, 3),
                             shuffle=True)
        assert "v" not in f
    with h5py.File(tmp_path / "a.h5") as f:
        fields.check(values, f["u"][...], ABS, 1e-3)


@pytest.mark.parametrize("fill", [None, 9.96921e36])
def test_chunks_never_written_and_edges(tmp_path, fill):
    values = fields.wave((33, 47))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        d = f.create_dataset("u", (33, 47), "f4", chunks=(16, 16), fillvalue=fill, compression=ID,
                             compression_opts=decimal(ABS, 1, 3))
        d[20:, 20:] = values[20:, 20:]
    expected = np.full((33, 47), 0 if fill is None else fill, "f4")
    expected[20:, 20:] = values[20:, 20:]
    with h5py.File(tmp_path / "a.h5") as f:
        fields.check(expected, f["u"][...], ABS, 1e-3, fill=fill)
        assert (f["u"][:16] == expected[:16]).all()


def test_padding_costs_neither_bound_nor_ratio(tmp_path):
    """A chunk that is mostly netCDF's padding of 9.97e36 compresses like its ordinary part."""
    values = fields.wave((33, 33))
    sizes = []
    for chunks in ((33, 33), (64, 64)):
        with h5py.File(tmp_path / "a.h5", "w") as f:
            d = f.create_dataset("u", data=values, chunks=chunks, maxshape=(None, None), fillvalue=9.96921e36,
                                 compression=ID, compression_opts=ieee(fields.REL, 1e-3))
            f.flush()
            sizes.append(d.id.get_storage_size())
            fields.check(values, d[...], fields.REL, 1e-3, fill=9.96921e36)
    with h5py.File(tmp_path / "a.h5") as f:
        fields.check(values, f["u"][...], fields.REL, 1e-3)
    assert sizes[1] < 1.5 * sizes[0] + 200, sizes


def test_group_copy_and_direct_chunks(tmp_path):
    """H5Ocopy moves payloads without decoding them; a chunk written directly is read like any other."""
    values = fields.wave((20, 30))
    with h5py.File(tmp_path / "a.h5", "w") as f, h5py.File(tmp_path / "b.h5", "w") as g:
        u = f.create_dataset("g/u", data=values, chunks=(10, 30), compression=ID, compression_opts=decimal(ABS, 1, 3))
        f.flush()
        f.copy("g", g, "copy")
        v = g.create_dataset("v", (20, 30), "f4", chunks=(10, 30), compression=ID, compression_opts=decimal(ABS, 1, 3))
        for corner in ((0, 0), (10, 0)):
            v.id.write_direct_chunk(corner, u.id.read_direct_chunk(corner)[1])
    with h5py.File(tmp_path / "b.h5") as g:
        fields.check(values, g["v"][...], ABS, 1e-3)
        assert g["copy/u"][...].tobytes() == g["v"][...].tobytes()


def test_every_encoding_keeps_the_bound_of_what_it_was_given(tmp_path):
    """What came back is stored again, ten times: each step is a chunk like any other."""
    values = fields.wave((40, 50))
    for _ in range(10):
        with h5py.File(tmp_path / "a.h5", "w") as f:
            f.create_dataset("u", data=values, chunks=(40, 50), compression=ID, compression_opts=decimal(ABS, 1, 3))
        with h5py.File(tmp_path / "a.h5") as f:
            read = f["u"][...]
        fields.check(values, read, ABS, 1e-3)
        values = read


def test_incompressible_data_never_grow_by_more_than_a_header(tmp_path):
    bits = np.random.default_rng(4).integers(0, 1 << 32, 4096, dtype=np.uint64).astype("<u4").view("<f4")
    for words in ((LOSSLESS,), ieee(ABS, 1e-30), ieee(fields.RATIO, 1e-7)):
        with h5py.File(tmp_path / "a.h5", "w") as f:
            d = f.create_dataset("u", data=bits, chunks=(4096,), compression=ID, compression_opts=words)
            f.flush()
            assert d.id.get_storage_size() <= bits.nbytes + 64


def test_the_same_chunk_gives_the_same_bytes(tmp_path):
    values = fields.specials((30, 31))
    payloads = set()
    for i in range(3):
        with h5py.File(tmp_path / f"{i}.h5", "w") as f:
            d = f.create_dataset("u", data=values, chunks=(30, 31), compression=ID,
                                 compression_opts=decimal(ABS, 1, 3))
            f.flush()
            payloads.add(d.id.read_direct_chunk((0, 0))[1])
    assert len(payloads) == 1


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
@pytest.mark.parametrize("fill", [-9999.0, np.nan])
def test_first_write_after_reopening_with_a_fill_value(hdf5, tmp_path, dtype, fill):
    """HDF5 asks can_apply again then, with a creation list whose fill value it cannot give (2.0.0 crashed)."""
    values, path = fields.wave((20, 30), dtype), tmp_path / "a.h5"
    values[3, 4] = fill
    file = hdf5.create_file(path)
    dcpl = hdf5.creation_list((10, 30), [(ID, 0, decimal(ABS, 1, 3))], np.array(fill, np.dtype(dtype).newbyteorder("=")))
    hdf5.close_dataset(hdf5.create_dataset(file, "u", hdf5.type_of(dtype), values.shape, dcpl))
    hdf5.close_file(file)
    file = hdf5.call("H5Fopen", str(path).encode(), 1, 0, returns=ctypes.c_int64)
    dataset = hdf5.call("H5Dopen2", file, b"u", 0, returns=ctypes.c_int64)
    hdf5.write(dataset, values)
    hdf5.close_dataset(dataset)
    hdf5.close_file(file)
    file = hdf5.open_file(path)
    fields.check(values, hdf5.read(file, "u", values.shape, dtype), ABS, 1e-3, fill=fill)
    hdf5.close_file(file)
