"""Our filter as an argument of h5py, and its backends. Import before h5py: HDF5 reads its plugin path once."""
import os

from . import cells

os.environ.setdefault("HDF5_PLUGIN_PATH", cells.plugin_path())

BACKENDS = ("scalar", "neon", "avx2", "avx512")


def options(mode, bound, effort=5):
    """h5py arguments of our filter; the model is the writer's choice."""
    return dict(compression=cells.filter_id(), compression_opts=cells.cd_values(mode, bound, effort))
