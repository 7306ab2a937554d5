"""The peers of the Python package (tools/python/h5neural/_peers.py), for the measuring scripts.

Loaded by its path: importing the package would put its own plugin before the one that is to be measured.
"""
import importlib.util
import os

_FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python", "h5neural", "_peers.py")
_spec = importlib.util.spec_from_file_location("h5neural_peers", _FILE)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

EQUAL, isolated, options, psnr, rmse = _module.EQUAL, _module.isolated, _module.options, _module.psnr, _module.rmse
patch_psnr, worst_patch = _module.patch_psnr, _module.worst_patch
run, search, through_hdf5, value_range = _module.run, _module.search, _module.through_hdf5, _module.value_range
