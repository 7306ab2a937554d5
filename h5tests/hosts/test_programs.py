"""The programs that come with HDF5 and netCDF: h5repack, h5dump, h5diff, nccopy, ncdump; and netCDF-C's own call."""
import ctypes
import glob
import os
import re

import h5py
import netCDF4
import numpy as np
import pytest

import fields
from fields import ABS, ID, LOSSLESS, REL, ieee


@pytest.fixture
def plain(tmp_path):
    """A file without any compression: a field in a group, its specials, and an integer dataset."""
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("run/u", data=fields.wave((24, 30, 20)), chunks=(12, 16, 20))
        f.create_dataset("v", data=fields.specials((50, 40), ">f8", -9999.0), chunks=(25, 40), fillvalue=-9999.0)
        f.create_dataset("i", data=np.arange(600).reshape(20, 30), chunks=(10, 30))
    return path


def read_all(path):
    with h5py.File(path) as f:
        return f["run/u"][...], f["v"][...], f["i"][...]


def filters_of(path, name):
    with h5py.File(path) as f:
        plist = f[name].id.get_create_plist()
        return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


def test_h5repack_writes_every_reader_reads(plain, tmp_path, run):
    out = tmp_path / "out.h5"
    run("h5repack", "-f", f"run/u,v:UD={ID},0,3,1,1,3", plain, out)
    assert filters_of(out, "run/u") == filters_of(out, "v") == [ID]
    before, after = read_all(plain), read_all(out)
    fields.check(before[0], after[0], ABS, 1e-3)
    fields.check(before[1], after[1], ABS, 1e-3, fill=-9999.0)
    assert (before[2] == after[2]).all()
    with netCDF4.Dataset(out) as d:
        d.set_auto_mask(False)
        assert d["run"]["u"][...].tobytes() == after[0].tobytes()
    import tables
    with tables.open_file(out) as t:
        assert t.root.run.u[...].tobytes() == after[0].tobytes()


def test_h5repack_of_a_whole_file_leaves_integers_alone(plain, tmp_path, run):
    """Without object names the filter is asked for integers too; h5repack stores those as they were."""
    out = tmp_path / "out.h5"
    run("h5repack", "-f", f"UD={ID},0,3,2,1,4", plain, out)
    before, after = read_all(plain), read_all(out)
    assert filters_of(out, "run/u") == [ID]
    fields.check(before[0], after[0], REL, 1e-4, (12, 16, 20))
    assert (before[2] == after[2]).all()


def test_h5repack_lossless_and_back(plain, tmp_path, run):
    """To us without words (lossless), from us to nothing, each bit for bit."""
    there, back = tmp_path / "there.h5", tmp_path / "back.h5"
    run("h5repack", "-f", f"run/u,v:UD={ID},0,0", plain, there)
    run("h5repack", "-f", "NONE", there, back)
    assert filters_of(there, "v") == [ID] and filters_of(back, "v") == []
    for path in (there, back):
        for before, after in zip(read_all(plain), read_all(path)):
            fields.check(before, after, LOSSLESS)


def test_h5repack_with_other_chunks_keeps_the_filter(plain, tmp_path, run):
    there, other = tmp_path / "there.h5", tmp_path / "other.h5"
    run("h5repack", "-f", f"run/u:UD={ID},0,3,1,1,3", plain, there)
    run("h5repack", "-l", "run/u:CHUNK=7x30x9", there, other)
    with h5py.File(other) as f:
        assert f["run/u"].chunks == (7, 30, 9)
        words = f["run/u"].id.get_create_plist().get_filter_by_id(ID)[1]
    assert words[7:] == (7, 30, 9)
    fields.check(read_all(plain)[0], read_all(other)[0], ABS, 2e-3)  # stored twice


@pytest.mark.parametrize("words", ["1,0.5,0", "1,-1,3", "1,0", "7,1,3"])
def test_h5repack_with_a_senseless_bound_changes_no_value(plain, tmp_path, run, words):
    """h5repack reads 0.5 as 0 and -1 as 4294967295: the refusal must leave the data as they were."""
    out = tmp_path / "out.h5"
    run("h5repack", "-f", f"run/u:UD={ID},0,{words.count(',') + 1},{words}", plain, out, check=False)
    if out.exists():
        with h5py.File(out) as f:
            if "run/u" in f:
                fields.check(read_all(plain)[0], f["run/u"][...], LOSSLESS)


def test_h5dump_and_h5diff_read(plain, tmp_path, run):
    out = tmp_path / "out.h5"
    run("h5repack", "-f", f"run/u:UD={ID},0,3,1,1,3", plain, out)
    header = run("h5dump", "-H", "-p", "-d", "/run/u", out)
    assert f"FILTER_ID {ID}" in header and "h5neural" in header
    binary = tmp_path / "u.bin"
    run("h5dump", "-d", "/run/u", "-b", "LE", "-o", binary, out)
    assert binary.read_bytes() == read_all(out)[0].tobytes()
    assert run("h5diff", "-d", "0.001", plain, out, "/run/u", "/run/u") == ""
    assert run("h5diff", plain, out, "/run/u", "/run/u", check=False).returncode == 1  # it is lossy
    assert run("h5diff", plain, out, "/v", "/v") == ""


def test_h5dump_names_a_damaged_chunk(plain, tmp_path, run):
    out = tmp_path / "out.h5"
    run("h5repack", "-f", f"run/u:UD={ID},0,3,1,1,3", plain, out)
    with h5py.File(out, "r+") as f:
        mask, payload = f["run/u"].id.read_direct_chunk((0, 0, 0))
        damaged = bytearray(payload)
        damaged[len(damaged) // 2] ^= 8
        f["run/u"].id.write_direct_chunk((0, 0, 0), bytes(damaged), mask)
    done = run("h5dump", "--enable-error-stack", "-d", "/run/u", out, check=False)
    assert done.returncode != 0 and "checksum" in done.stderr
    silent = run("h5dump", "-d", "/run/u", out, check=False, env={"H5NEURAL_VERBOSE": "1"})
    assert "checksum" in silent.stderr


def test_a_missing_plugin_is_an_error_that_names_the_filter(plain, tmp_path, run):
    out = tmp_path / "out.h5"
    run("h5repack", "-f", f"run/u:UD={ID},0,3,1,1,3", plain, out)
    done = run("h5dump", "--enable-error-stack", "-d", "/run/u", out, check=False,
               env={"HDF5_PLUGIN_PATH": str(tmp_path)})
    assert done.returncode != 0 and "required filter 'h5neural" in done.stderr  # the name is kept in the file


@pytest.fixture
def netcdf(tmp_path):
    """A netCDF-4 file with a fill value and NaNs, edge chunks, and an integer variable."""
    path = tmp_path / "plain.nc"
    with netCDF4.Dataset(path, "w") as d:
        for name, n in (("t", 5), ("y", 33), ("x", 40)):
            d.createDimension(name, n)
        u = d.createVariable("u", "f4", ("t", "y", "x"), chunksizes=(2, 20, 40), fill_value=-1e30)
        u.set_auto_mask(False)
        u[...] = fields.specials((5, 33, 40), "f4", -1e30)
        w = d.createVariable("w", "f8", ("y", "x"), chunksizes=(20, 20))  # netCDF's default fill value
        w[...] = fields.wave((33, 40), "f8")
        d.createVariable("i", "i4", ("x",))[...] = np.arange(40)
    return path


def read_netcdf(path, name):
    with netCDF4.Dataset(path) as d:
        d.set_auto_mask(False)
        return d[name][...]


@pytest.mark.parametrize("spec", [f"{ID},1,1,3", f"{ID},1,1e-3d", f"{ID},257,1e-3d"])
def test_nccopy_writes(netcdf, tmp_path, run, spec):
    out = tmp_path / "out.nc"
    run("nccopy", "-F", f"u,{spec}", "-F", f"w,{spec}", netcdf, out)
    assert filters_of(out, "u") == filters_of(out, "w") == [ID]
    fields.check(read_netcdf(netcdf, "u"), read_netcdf(out, "u"), ABS, 1e-3, fill=-1e30)
    fields.check(read_netcdf(netcdf, "w"), read_netcdf(out, "w"), ABS, 1e-3)
    with h5py.File(out) as f:
        assert f["u"][...].tobytes() == read_netcdf(out, "u").tobytes()
    assert f"{ID}" in run("ncdump", "-h", "-s", out)
    run("ncdump", out)


def test_nccopy_untyped_bound_is_refused(netcdf, tmp_path, run):
    """nccopy takes 0.001 for a float32 word; whatever it makes of it must not become a silent bound."""
    out = tmp_path / "out.nc"
    done = run("nccopy", "-F", f"u,{ID},1,0.001", netcdf, out, check=False)
    if done.returncode == 0:
        fields.check(read_netcdf(netcdf, "u"), read_netcdf(out, "u"), LOSSLESS)


def test_nc_def_var_filter_writes(netcdf, tmp_path):
    """netCDF-C's call, in the library of the netCDF4 wheel (whose Python API has no unnamed filters)."""
    folder = os.path.join(os.path.dirname(os.path.dirname(netCDF4.__file__)), "netcdf4.libs")
    found = glob.glob(os.path.join(folder, "libnetcdf-*.so*"))
    if not found:
        pytest.skip("netCDF4 brings no libnetcdf of its own")
    define = ctypes.CDLL(found[0]).nc_def_var_filter
    words = (ctypes.c_uint * 3)(*ieee(ABS, 1e-3))
    before = read_netcdf(netcdf, "u")
    out = tmp_path / "out.nc"
    with netCDF4.Dataset(out, "w") as d:
        for name, n in zip("tyx", before.shape):
            d.createDimension(name, n)
        u = d.createVariable("u", "f4", ("t", "y", "x"), chunksizes=(2, 20, 40), fill_value=-1e30)
        assert define(u._grpid, u._varid, ID, ctypes.c_size_t(3), words) == 0
        u.set_auto_mask(False)
        u[...] = before
    assert filters_of(out, "u") == [ID]
    fields.check(before, read_netcdf(out, "u"), ABS, 1e-3, fill=-1e30)


def test_cdl_filter_attribute(tmp_path, run):
    """ncgen's _Filter: "id,words"."""
    cdl, out = tmp_path / "a.cdl", tmp_path / "a.nc"
    values = fields.wave((10, 12))
    numbers = ", ".join(repr(float(v)) for v in values.reshape(-1))
    cdl.write_text(f"""netcdf a {{ dimensions: y = 10 ; x = 12 ; variables: float u(y, x) ;
        u:_ChunkSizes = 10, 12 ; u:_Filter = "{ID},1,1,3" ; data: u = {numbers} ; }}""")
    run("ncgen", "-4", "-o", out, cdl)
    assert filters_of(out, "u") == [ID]
    fields.check(values, read_netcdf(out, "u"), ABS, 1e-3)
    assert re.search(rf'u:_Filter = "{ID}', run("ncdump", "-h", "-s", out))
