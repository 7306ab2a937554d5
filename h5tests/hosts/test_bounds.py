"""What comes back through HDF5 keeps the promise: every bound, type, byte order, rank, and special value."""
import h5py
import numpy as np
import pytest

import fields
from fields import ABS, BLOCK_NRMSE, ID, LOSSLESS, NRMSE, PSNR, RATIO, REL, decimal, ieee

TYPES = ["<f4", ">f4", "<f8", ">f8"]


def through(tmp_path, values, words, chunks, fill=None):
    """Writes with h5py, closes, reads back."""
    path = tmp_path / "through.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=values, chunks=chunks, compression=ID, compression_opts=words, fillvalue=fill)
    with h5py.File(path) as f:
        back = f["u"][...]
        assert f["u"].id.get_storage_size() > 0
    assert back.dtype == values.dtype
    return back


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode, bound", [(LOSSLESS, 0), (ABS, 1e-3), (ABS, 0.5), (REL, 1e-4), (RATIO, 1e-3),
                                         (BLOCK_NRMSE, 1e-3)])
def test_modes(tmp_path, dtype, mode, bound):
    values = fields.wave((20, 31, 17), dtype)
    back = through(tmp_path, values, ieee(mode, bound), (10, 16, 17))
    fields.check(values, back, mode, bound, (10, 16, 17))


@pytest.mark.parametrize("mode, bound", [(PSNR, 60.0), (NRMSE, 1e-3)])
def test_modes_of_the_mean_error_work_or_are_refused(tmp_path, mode, bound):
    values = fields.wave((20, 31, 17))
    try:
        back = through(tmp_path, values, ieee(mode, bound), (20, 31, 17))
    except ValueError as refusal:
        assert "h5neural: " in str(refusal)
    else:
        fields.check(values, back, mode, bound)


def test_both_spellings_of_a_bound_store_the_same_bytes(tmp_path):
    values = fields.wave((40, 40))
    low, high = ieee(ABS, 1e-3)[1:]
    payloads = []
    for words in (decimal(ABS, 1, 3), ieee(ABS, 1e-3), (ABS, low, high)):  # the last as nccopy writes it
        with h5py.File(tmp_path / "spelling.h5", "w") as f:
            d = f.create_dataset("u", data=values, chunks=(40, 40), compression=ID, compression_opts=words)
            f.flush()
            payloads.append(d.id.read_direct_chunk((0, 0))[1])
    assert payloads[0] == payloads[1] == payloads[2]
    assert len(payloads[0]) < values.nbytes


def test_a_looser_bound_is_smaller(tmp_path):
    values = fields.wave((64, 64, 16))
    sizes = []
    for bound in (1e-4, 1e-3, 1e-2, 1e-1):
        with h5py.File(tmp_path / "size.h5", "w") as f:
            d = f.create_dataset("u", data=values, chunks=values.shape, compression=ID,
                                 compression_opts=ieee(ABS, bound))
            f.flush()
            sizes.append(d.id.get_storage_size())
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert sizes[0] < values.nbytes / 2


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode, bound", [(LOSSLESS, 0), (ABS, 1e-2), (REL, 1e-3), (RATIO, 1e-2), (BLOCK_NRMSE, 1e-3)])
@pytest.mark.parametrize("fill", [None, -9999.0, 9.96921e36, np.nan])
def test_special_values_come_back_bit_for_bit(tmp_path, dtype, mode, bound, fill):
    values = fields.specials((30, 40), dtype, fill)
    back = through(tmp_path, values, ieee(mode, bound), (30, 40), fill)
    fields.check(values, back, mode, bound, (30, 40), fill)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, 1e-42, 3.4e38])
@pytest.mark.parametrize("mode, bound", [(LOSSLESS, 0), (ABS, 1e-2), (REL, 1e-3), (RATIO, 1e-2)])
def test_constant_chunks(tmp_path, value, mode, bound):
    values = np.full((13, 17), value, "<f4")
    back = through(tmp_path, values, ieee(mode, bound), (13, 17))
    fields.check(values, back, mode, bound)


@pytest.mark.parametrize("mode, bound", [(LOSSLESS, 0), (ABS, 1e-2), (REL, 1e-3), (RATIO, 1e-2)])
def test_random_bits(tmp_path, mode, bound):
    """Every kind of value at once, of every magnitude: nothing to predict, everything to keep."""
    bits = np.random.default_rng(3).integers(0, 1 << 32, 5000, dtype=np.uint64).astype("<u4")
    values = bits.view("<f4")
    back = through(tmp_path, values, ieee(mode, bound), (5000,))
    fields.check(values, back, mode, bound)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rank", range(1, 9))
def test_ranks_and_edge_chunks(tmp_path, rank, dtype):
    """Extents that the chunks do not divide, in every rank that is served."""
    shape = (1000,) if rank == 1 else tuple([7, 5, 6, 3, 4, 3, 2, 3][:rank])
    chunks = (300,) if rank == 1 else (4, *shape[1:-1], shape[-1] // 2 + 1)
    values = fields.wave(shape, dtype, seed=rank)
    for mode, bound in ((ABS, 1e-3), (BLOCK_NRMSE, 1e-3), (LOSSLESS, 0)):
        back = through(tmp_path, values, ieee(mode, bound), chunks)
        fields.check(values, back, mode, bound, chunks)


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 1, 1), (1, 300), (300, 1), (1, 1, 1, 1, 1, 1, 1, 1), (3, 1, 5)])
def test_small_and_thin_chunks(tmp_path, shape):
    values = fields.wave(shape)
    for mode, bound in ((ABS, 1e-3), (REL, 1e-3), (RATIO, 1e-3), (BLOCK_NRMSE, 1e-3), (LOSSLESS, 0)):
        fields.check(values, through(tmp_path, values, ieee(mode, bound), shape), mode, bound)


@pytest.mark.parametrize("name", fields.stored_fields())
@pytest.mark.parametrize("mode, bound", [(ABS, None), (REL, 1e-3), (RATIO, 1e-2), (BLOCK_NRMSE, 1e-3), (LOSSLESS, 0)])
def test_real_fields(tmp_path, name, mode, bound):
    with h5py.File(fields.stored_fields()[name]) as f:
        (key,) = [k for k in f if isinstance(f[k], h5py.Dataset)]
        values, chunks, fill = f[key][...], f[key].chunks, f[key].fillvalue
    fill = fill if fill != 0 else None
    if bound is None:  # a thousandth of the range of the finite values
        with np.errstate(invalid="ignore"):
            ordinary = values[np.isfinite(values) & (values != fill if fill is not None else True)]
        bound = 1e-3 * float(ordinary.max() - ordinary.min())
    back = through(tmp_path, values, ieee(mode, bound), chunks, fill)
    fields.check(values, back, mode, bound, chunks, fill)


@pytest.mark.skipif(not fields.more_fields(), reason="H5NEURAL_DATA is not set")
@pytest.mark.parametrize("name", fields.more_fields())
def test_more_fields(tmp_path, name):
    with h5py.File(fields.more_fields()[name]) as f:
        found = {}
        f.visititems(lambda key, d: found.update({key: d}) if isinstance(d, h5py.Dataset) else None)
        served = [d for d in found.values() if d.dtype.kind == "f" and d.dtype.itemsize in (4, 8) and 0 < d.ndim <= 8]
        for d in served:
            values, chunks = d[...], d.chunks or d.shape
            if values.size == 0:
                continue
            for mode, bound in ((REL, 1e-2), (REL, 1e-4), (LOSSLESS, 0)):
                back = through(tmp_path, values, ieee(mode, bound), chunks)
                fields.check(values, back, mode, bound, chunks)
