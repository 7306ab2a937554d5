"""Neural with h5py: written, read, asked for its options. And how the plugin is found, each in a fresh process."""
import os
import subprocess
import sys
from pathlib import Path

import h5neural
import h5py
import numpy as np
import pytest

PACKAGE = str(Path(h5neural.__file__).resolve().parents[1])
ROUND_TRIP = """
import numpy as np
x = np.linspace(0, 9, 4000, dtype="f4").reshape(40, 100)
with h5py.File({path!r}, "w") as f:
    f.create_dataset("x", data=x, chunks=x.shape, compression=h5neural.Neural(abs=1e-3))
with h5py.File({path!r}) as f:
    y = f["x"][...]
assert 0 < np.abs(y.astype("f8") - x).max() <= 1e-3
print("fine")
"""


def field(dtype="f4"):
    z, y, x = np.meshgrid(*[np.linspace(0, 3, n) for n in (8, 40, 50)], indexing="ij")
    return np.sin(x + 2 * y + 3 * z).astype(dtype)


def fresh(source, tmp_path, **environment):
    """Runs Python in a process that knows the package, and of the plugin what `environment` says."""
    env = {k: v for k, v in os.environ.items() if k not in ("HDF5_PLUGIN_PATH", "H5NEURAL_PLUGIN_DIR")}
    env.update(environment, PYTHONPATH=PACKAGE)
    source = source.replace("{path!r}", repr(str(tmp_path / "x.h5")))
    return subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("neural", [h5neural.Neural(abs=1e-3), h5neural.Neural(rel=1e-3), h5neural.Neural(ratio=1e-3),
                                    h5neural.Neural(lossless=True), h5neural.Neural(abs=1e-4, effort=1, model="none")],
                         ids=repr)
def test_round_trip(tmp_path, dtype, neural):
    a = field(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("u", data=a, chunks=(4, 40, 50), compression=neural)
        f.create_dataset("v", data=a, chunks=(4, 40, 50), **neural)
    with h5py.File(tmp_path / "a.h5") as f:
        u, v = f["u"][...], f["v"][...]
        assert f["u"].id.get_storage_size() < a.nbytes
        for name in "uv":
            assert h5neural.Neural.from_dataset(f[name]).get_config() == neural.get_config()
    assert u.tobytes() == v.tobytes()
    x = a.astype("f8")
    error = np.abs(u.astype("f8") - x)
    chunk_range = np.repeat([np.ptp(x[:4]), np.ptp(x[4:])], 4)[:, None, None]
    allowed = {"abs": 1, "rel": chunk_range, "ratio": np.abs(x), "lossless": 0}[neural.mode] * (neural.bound or 0)
    assert (error <= allowed).all()
    if neural.mode != "lossless":
        assert error.max() > 0


def test_dataset_without_the_filter(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        d = f.create_dataset("u", data=field(), compression="gzip")
        assert h5neural.Neural.from_dataset(d) is None


def test_refusal_reaches_python(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        with pytest.raises(Exception, match="(?s)h5neural: .*integers"):
            f.create_dataset("i", data=np.arange(100), chunks=(100,), compression=h5neural.Neural(abs=1e-3))


@pytest.mark.parametrize("order", ["import h5neural, h5py", "import h5py, h5neural",
                                   "import h5py; h5py.File('m', 'w', driver='core', backing_store=False); import h5neural"])
def test_found_whichever_is_imported_first(tmp_path, order):
    done = fresh(order + ROUND_TRIP, tmp_path, H5NEURAL_PLUGIN_DIR=h5neural.plugin_path())
    assert done.returncode == 0 and done.stdout == "fine\n", done.stderr


def test_other_packages_find_it(tmp_path):
    pytest.importorskip("netCDF4")
    pytest.importorskip("tables")
    source = "import h5neural, h5py" + ROUND_TRIP + """
import netCDF4, tables
assert np.abs(netCDF4.Dataset({path!r})["x"][...] - x).max() <= 1.001e-3
assert np.abs(tables.open_file({path!r}).root.x[...] - x).max() <= 1.001e-3
print("read")
"""
    done = fresh(source, tmp_path, H5NEURAL_PLUGIN_DIR=h5neural.plugin_path())
    assert done.returncode == 0 and done.stdout == "fine\nread\n", done.stderr


def test_keeps_what_the_user_set(tmp_path):
    source = "import h5neural, os; print(os.environ['HDF5_PLUGIN_PATH']); h5neural.register(); " \
             "print(os.environ['HDF5_PLUGIN_PATH'])"
    ours = h5neural.plugin_path()
    for given in ("/some/where:/else", f"/some/where:{ours}:/else"):
        done = fresh(source, tmp_path, H5NEURAL_PLUGIN_DIR=ours, HDF5_PLUGIN_PATH=given)
        assert done.stdout.splitlines() == [f"{ours}:/some/where:/else"] * 2, done.stderr


def test_missing_plugin_is_named(tmp_path):
    source = """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import h5neural
print(seen[0].message)
print(h5neural.Neural.from_options((1, 1, 3)))
try:
    h5neural.register()
except h5neural.PluginNotFound as e:
    print("raised")
"""
    done = fresh(source, tmp_path, H5NEURAL_PLUGIN_DIR=str(tmp_path))
    first, second, third = done.stdout.splitlines()
    assert "H5NEURAL_PLUGIN_DIR" in first and second == "Neural(abs=0.001)" and third == "raised"
