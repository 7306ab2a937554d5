"""h5neural for Python: the filter's options for h5py, and the way to its plugin.

    import h5neural, h5py                    # importing h5neural makes the plugin found
    f.create_dataset("u", data=u, chunks=(8, 256, 256), compression=h5neural.Neural(abs=1e-3))
    h5neural.Neural.from_dataset(f["u"])     # Neural(abs=0.001)

netCDF4, PyTables and programs started from here find the plugin too, when h5neural is imported before them.
"""
from ._plugin import PluginNotFound, plugin_path, register
from ._words import FILTER_ID

__version__ = "0.1.0"
__all__ = ["FILTER_ID", "Neural", "PluginNotFound", "plugin_path", "register"]

# Before h5py, which reads the search path when it is loaded. Without a plugin the package is still of use: options
# can be read, and HDF5 names the missing filter when data is.
try:
    register()
except PluginNotFound as _problem:
    import warnings

    warnings.warn(str(_problem), RuntimeWarning, stacklevel=2)

from ._neural import Neural  # noqa: E402
