"""h5py, netCDF4 and PyTables, three different libhdf5, in one process; and LibTorch beside the reader."""
import importlib.util
import itertools

import h5py
import pytest

import fields
from fields import ABS, ID, decimal

READ = """
import sys
def h5py_(path):
    import h5py
    with h5py.File(path) as f:
        return f["u"][...].tobytes()
def netCDF4_(path):
    import netCDF4
    with netCDF4.Dataset(path) as d:
        d.set_auto_mask(False)
        return d["u"][...].tobytes()
def tables_(path):
    import tables
    with tables.open_file(path) as t:
        return t.root.u[...].tobytes()
def maps():
    return open("/proc/self/maps").read()
"""


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "u.h5"
    values = fields.specials((20, 30, 40))
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=values, chunks=(10, 30, 25), compression=ID, compression_opts=decimal(ABS, 1, 3))
    with h5py.File(path) as f:
        fields.check(values, f["u"][...], ABS, 1e-3)
        (tmp_path / "expected").write_bytes(f["u"][...].tobytes())
    return path


@pytest.mark.parametrize("order", list(itertools.permutations(["h5py_", "netCDF4_", "tables_"])), ids="-".join)
def test_three_libraries_in_one_process(stored, tmp_path, python, order):
    calls = ", ".join(f"{name}(path)" for name in order + order)
    said = python(READ + f"""
path, expected = sys.argv[1], open(sys.argv[2], "rb").read()
assert [b == expected for b in ({calls})] == [True] * 6
import re
found = sorted(set(re.findall(r"\\S*libhdf5-\\S*", maps())))
print(len(found))
""", stored, tmp_path / "expected")
    assert int(said) == 3, "the wheels were expected to bring a libhdf5 each"


def test_all_write_in_one_process(tmp_path, python):
    """h5py and netCDF-C's own call write side by side, each with its library's property lists; all three read both."""
    python(READ + """
import ctypes, glob, os
import h5py, netCDF4, tables
import fields
from fields import ABS, ID, decimal
values = fields.wave((20, 30))
a, b = sys.argv[1], sys.argv[2]
define = ctypes.CDLL(glob.glob(os.path.join(os.path.dirname(os.path.dirname(netCDF4.__file__)),
                                            "netcdf4.libs", "libnetcdf-*.so*"))[0]).nc_def_var_filter
with h5py.File(a, "w") as f, netCDF4.Dataset(b, "w") as d:
    d.createDimension("y", 20), d.createDimension("x", 30)
    u = d.createVariable("u", "f4", ("y", "x"), chunksizes=(20, 30))
    assert define(u._grpid, u._varid, ID, ctypes.c_size_t(3), (ctypes.c_uint * 3)(1, 1, 3)) == 0
    f.create_dataset("u", data=values, chunks=(20, 30), compression=ID, compression_opts=decimal(ABS, 1, 3))
    u[...] = values
for path in (a, b):
    read = {reader(path) for reader in (h5py_, netCDF4_, tables_)}
    assert len(read) == 1
    import numpy as np
    fields.check(values, np.frombuffer(read.pop(), "f4").reshape(20, 30), ABS, 1e-3)
""", tmp_path / "a.h5", tmp_path / "b.nc")


def test_reading_brings_in_nothing_but_the_plugin_and_its_engine(stored, tmp_path, python):
    said = python(READ + """
import os, re
import h5py
before = set(re.findall(r"/\\S+\\.so\\S*", maps()))
assert h5py_(sys.argv[1]) == open(sys.argv[2], "rb").read()
print(*sorted(os.path.basename(p) for p in set(re.findall(r"/\\S+\\.so\\S*", maps())) - before))
""", stored, tmp_path / "expected")
    assert not any(word in said for word in ("torch", "c10", "cuda", "gomp")), said
    assert "libh5zneural.so" in said


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch in this Python")
@pytest.mark.parametrize("torch_first", [True, False])
def test_a_torch_of_the_user_does_no_harm(stored, tmp_path, python, torch_first):
    # Where torch was installed without its CUDA libraries (build/venv), its module cannot be imported: then its
    # libtorch_cpu alone is loaded, with its symbols in sight of everything that comes after.
    lines = ["""
try:
    import torch
    assert float(torch.ones(3) @ torch.ones(3)) == 3
except ImportError:
    import ctypes, importlib.util
    folder = importlib.util.find_spec("torch").submodule_search_locations[0]
    assert ctypes.CDLL(folder + "/lib/libtorch_cpu.so", ctypes.RTLD_GLOBAL)
""", "assert h5py_(sys.argv[1]) == expected"]
    python(READ + "expected = open(sys.argv[2], 'rb').read()\n" + "\n".join(lines if torch_first else lines[::-1])
           + "\n" + lines[1] + "\n" + lines[0], stored, tmp_path / "expected")
