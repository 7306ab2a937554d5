"""Where the plugin is, and how the HDF5 libraries of this process come to know. Knows nothing of the filter's options.

HDF5 reads HDF5_PLUGIN_PATH once, when it is loaded, and each package (h5py, netCDF4, PyTables) brings an HDF5 of its
own: the variable serves those that are imported later, and child processes; an h5py that is there already is told
directly.
"""
import os
import shutil
import sys
from pathlib import Path

PLUGIN = "libh5zneural.so"
IN_INSTALL = Path("lib", "h5neural", "plugin")
# Setting HDF5_PLUGIN_PATH replaces the folders that are compiled into HDF5; these are the usual ones.
HDF5_DEFAULT = os.pathsep.join(["/usr/local/lib/plugin", "/usr/local/hdf5/lib/plugin"])


class PluginNotFound(RuntimeError):
    """No libh5zneural.so where an install or a build tree would have it."""


def _candidates():
    """Folders that may hold the plugin, the likeliest first."""
    here = Path(__file__).resolve()
    prefix = Path(sys.prefix)
    for parent in here.parents:  # PREFIX/lib/python3.x/site-packages/h5neural
        yield parent / IN_INSTALL
    yield here.parents[3] / "build" / "release" / IN_INSTALL  # tools/python/h5neural of the source tree
    yield prefix.parent / "release" / IN_INSTALL  # build/venv beside build/release
    yield prefix / IN_INSTALL
    tool = shutil.which("h5neural")
    if tool:
        yield Path(tool).resolve().parents[1] / IN_INSTALL
    yield Path("/usr/local") / IN_INSTALL
    yield Path("/usr") / IN_INSTALL


def plugin_path():
    """The folder of the plugin, as a string. H5NEURAL_PLUGIN_DIR names it; else it is found from the place of this
    package, of the Python environment and of the h5neural program. Raises PluginNotFound."""
    named = os.environ.get("H5NEURAL_PLUGIN_DIR")
    if named:
        if (Path(named) / PLUGIN).is_file():
            return os.path.abspath(named)
        raise PluginNotFound(f"h5neural: H5NEURAL_PLUGIN_DIR is {named}, and there is no {PLUGIN} in it; let it name "
                             "the folder lib/h5neural/plugin of an install or a build tree, or unset it")
    for folder in _candidates():
        if (folder / PLUGIN).is_file():
            return str(folder)
    raise PluginNotFound(f"h5neural: no {PLUGIN} was found; build h5neural (tools/demo), or set H5NEURAL_PLUGIN_DIR to "
                         "the folder lib/h5neural/plugin of its install")


def register():
    """Makes HDF5 find the plugin: puts its folder before those of HDF5_PLUGIN_PATH, and tells h5py where that is loaded
    already. Importing h5neural does this. Returns the folder. Raises PluginNotFound."""
    folder = plugin_path()
    given = os.environ.get("HDF5_PLUGIN_PATH")
    others = [p for p in (given or HDF5_DEFAULT).split(os.pathsep) if p and p != folder]
    os.environ["HDF5_PLUGIN_PATH"] = os.pathsep.join([folder, *others])
    if "h5py" in sys.modules:
        from h5py import h5pl

        known = [h5pl.get(i).decode(errors="replace") for i in range(h5pl.size())]
        if folder not in known:
            h5pl.prepend(folder.encode())
    return folder
