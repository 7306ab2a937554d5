"""Settings of the host tests: which plugin is tested, and with which programs.

Environment: H5NEURAL_PLUGIN_DIR  folder of libh5zneural.so; else HDF5_PLUGIN_PATH, else that of build/release
             H5NEURAL_BIN         a folder of HDF5 programs (h5repack, ...) to use before those of PATH
             H5NEURAL_DATA        a folder of .h5 files that more tests then read
HDF5 reads HDF5_PLUGIN_PATH once, when it is loaded: no test module may be imported before this file has set it.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)


def _plugin_dir():
    for given in (os.environ.get("H5NEURAL_PLUGIN_DIR"), os.environ.get("HDF5_PLUGIN_PATH", "").split(os.pathsep)[0],
                  os.path.join(ROOT, "build", "release", "lib", "h5neural", "plugin")):
        if given:
            return os.path.abspath(given)


PLUGIN_DIR = _plugin_dir()
PLUGIN = os.path.join(PLUGIN_DIR, "libh5zneural.so")
if not os.path.exists(PLUGIN):
    raise RuntimeError(f"no libh5zneural.so in {PLUGIN_DIR}: build it, or set H5NEURAL_PLUGIN_DIR")
os.environ["H5NEURAL_PLUGIN_DIR"] = PLUGIN_DIR
os.environ["HDF5_PLUGIN_PATH"] = PLUGIN_DIR
if os.environ.get("H5NEURAL_BIN"):
    os.environ["PATH"] = os.environ["H5NEURAL_BIN"] + os.pathsep + os.environ["PATH"]

import pytest  # noqa: E402

from hdf5_library import Library, library_paths  # noqa: E402

_PATHS = library_paths()
_LIBRARIES = {}


@pytest.fixture(params=["system", "h5py", "tables", "netCDF4"])
def hdf5(request):
    """Each libhdf5 at hand, through its C API."""
    name = request.param
    if name not in _PATHS:
        pytest.skip(f"no libhdf5 of {name}")
    if name not in _LIBRARIES:
        _LIBRARIES[name] = Library(_PATHS[name])
    return _LIBRARIES[name]


@pytest.fixture
def run():
    """Runs a program to its end: run("h5dump", "-d", ...) -> its standard output; raises when it fails."""
    import shutil
    import subprocess

    def runner(program, *arguments, check=True, env=None, timeout=300):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}")
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **(env or {})})
        if check:
            assert done.returncode == 0, f"{program} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            return done.stdout
        return done

    return runner


@pytest.fixture
def python(run):
    """Runs a piece of Python in a fresh process: python(source, argument, ...) -> its standard output."""

    def runner(source, *arguments, **options):
        preamble = f"import sys; sys.path.insert(0, {HERE!r})\n"
        return run(sys.executable, "-c", preamble + source, *arguments, **options)

    return runner
