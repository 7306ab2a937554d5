"""A small ctypes binding of HDF5's C API, for any libhdf5 of the process.

The wheels of h5py, netCDF4 and PyTables bring a libhdf5 each, and Debian's tools use a fourth. Their Python APIs do
not reach far enough (PyTables cannot write a filter without a name, h5py always sets the optional flag), so the tests
that must hold in every build speak to the libraries themselves. Knows nothing of the filter.
"""
import ctypes
import glob
import importlib.util
import os
import re
import shutil
import subprocess

import numpy as np

hid_t, herr_t = ctypes.c_int64, ctypes.c_int
OPTIONAL, MANDATORY = 1, 0
SHUFFLE, FLETCHER32 = 2, 3
UNLIMITED = (1 << 64) - 1


def library_paths():
    """Name to path of every libhdf5 at hand: those in the wheels, and the one that h5dump is linked with."""
    found = {}
    for module in ("h5py", "netCDF4", "tables"):
        spec = importlib.util.find_spec(module)  # does not import it
        if spec is None:
            continue
        folder = os.path.dirname(os.path.dirname(spec.origin))
        for path in glob.glob(os.path.join(folder, module.lower() + ".libs", "libhdf5-*.so*")):
            found[module] = path
    h5dump = shutil.which("h5dump")
    if h5dump:
        linked = subprocess.run(["ldd", h5dump], capture_output=True, text=True).stdout
        match = re.search(r"libhdf5[_a-z]*\.so\S* => (\S+)", linked)
        if match:
            found["system"] = match.group(1)
    return found


class Hdf5Error(Exception):
    """A call failed. `sentences` are the entries of the error stack, the innermost first."""

    def __init__(self, sentences):
        super().__init__(" <- ".join(sentences))
        self.sentences = sentences


class _Error2(ctypes.Structure):  # H5E_error2_t
    _fields_ = [("cls_id", hid_t), ("maj_num", hid_t), ("min_num", hid_t), ("line", ctypes.c_uint),
                ("func_name", ctypes.c_char_p), ("file_name", ctypes.c_char_p), ("desc", ctypes.c_char_p)]


_WALKER = ctypes.CFUNCTYPE(herr_t, ctypes.c_uint, ctypes.POINTER(_Error2), ctypes.c_void_p)


class Library:
    """One libhdf5. Ids are plain integers; what fails raises Hdf5Error with that library's own sentences."""

    def __init__(self, path):
        self._lib = ctypes.CDLL(path)
        self.path = path
        self.call("H5open")
        self.call("H5Eset_auto2", 0, None, None)  # no printing; the exceptions carry the text
        version = [ctypes.c_uint() for _ in range(3)]
        self.call("H5get_libversion", *map(ctypes.byref, version))
        self.version = tuple(v.value for v in version)

    def call(self, name, *arguments, returns=herr_t):
        """Calls a function. Python integers travel as 64-bit values, which suits ids, sizes and flags alike."""
        function = getattr(self._lib, name)
        function.restype = returns
        result = function(*(ctypes.c_int64(a) if isinstance(a, int) else a for a in arguments))
        if returns in (herr_t, hid_t) and result < 0:
            raise Hdf5Error(self.sentences() or [f"{name} failed without a word"])
        return result

    def sentences(self):
        found = []

        def keep(_, entry, __):
            found.append((entry.contents.desc or b"").decode())
            return 0

        self._lib.H5Ewalk2.argtypes = [hid_t, ctypes.c_int, _WALKER, ctypes.c_void_p]
        self._lib.H5Ewalk2(0, 0, _WALKER(keep), None)  # upward: the innermost first
        return found

    def predefined(self, name):
        """A predefined id: a type such as "H5T_IEEE_F32LE_g", a property list class."""
        return hid_t.in_dll(self._lib, name).value

    # ---- types ----

    def type_of(self, dtype):
        """The file type of a numpy float or integer type."""
        dtype = np.dtype(dtype)
        big = dtype.byteorder == ">"
        if dtype.kind == "f" and dtype.itemsize == 2:
            return self.float_type(2, sign=15, exponent=10, exponent_size=5, mantissa_size=10, bias=15)
        family = {"f": "IEEE_F", "i": "STD_I", "u": "STD_U"}[dtype.kind]
        return self.predefined(f"H5T_{family}{8 * dtype.itemsize}{'BE' if big else 'LE'}_g")

    def float_type(self, size, sign, exponent, exponent_size, mantissa_size, bias):
        """Any little-endian floating-point type."""
        made = self.call("H5Tcopy", self.predefined("H5T_IEEE_F64LE_g"), returns=hid_t)
        self.call("H5Tset_fields", made, sign, exponent, exponent_size, 0, mantissa_size)
        self.call("H5Tset_precision", made, 8 * size)
        self.call("H5Tset_ebias", made, bias)
        self.call("H5Tset_size", made, size)
        return made

    def compound_type(self):
        made = self.call("H5Tcreate", 6, 8, returns=hid_t)
        for i, member in enumerate((b"re", b"im")):
            self.call("H5Tinsert", made, member, 4 * i, self.predefined("H5T_IEEE_F32LE_g"))
        return made

    def array_type(self):
        return self.call("H5Tarray_create2", self.predefined("H5T_IEEE_F32LE_g"), 1, (ctypes.c_uint64 * 1)(3),
                         returns=hid_t)

    # ---- property lists and datasets ----

    def creation_list(self, chunks, filters, fill=None):
        """A dataset creation list. filters: (id, flag, words); fill: a numpy scalar."""
        dcpl = self.call("H5Pcreate", self.predefined("H5P_CLS_DATASET_CREATE_ID_g"), returns=hid_t)
        if chunks is not None:
            self.set_chunk(dcpl, chunks)
        for filter_id, flag, words in filters:
            self.call("H5Pset_filter", dcpl, filter_id, flag, len(words), (ctypes.c_uint * max(1, len(words)))(*words))
        if fill is not None:
            value = np.asarray(fill)
            self.call("H5Pset_fill_value", dcpl, self.type_of(value.dtype), value.ctypes)
        return dcpl

    def set_chunk(self, dcpl, chunks):
        self.call("H5Pset_chunk", dcpl, len(chunks), (ctypes.c_uint64 * len(chunks))(*chunks))

    def filter_words(self, dataset, filter_id):
        dcpl = self.call("H5Dget_create_plist", dataset, returns=hid_t)
        n, words = ctypes.c_size_t(32), (ctypes.c_uint * 32)()
        flags, config = ctypes.c_uint(), ctypes.c_uint()
        self.call("H5Pget_filter_by_id2", dcpl, filter_id, ctypes.byref(flags), ctypes.byref(n), words, 0, None,
                  ctypes.byref(config))
        self.call("H5Pclose", dcpl)
        return tuple(words[: n.value])

    def create_file(self, path):
        return self.call("H5Fcreate", os.fsencode(path), 2, 0, 0, returns=hid_t)

    def open_file(self, path):
        return self.call("H5Fopen", os.fsencode(path), 0, 0, returns=hid_t)

    def close_file(self, file):
        self.call("H5Fclose", file)

    def create_dataset(self, file, name, file_type, shape, dcpl):
        dims = (ctypes.c_uint64 * len(shape))(*shape)
        space = self.call("H5Screate_simple", len(shape), dims, None, returns=hid_t)
        try:
            return self.call("H5Dcreate2", file, name.encode(), file_type, space, 0, dcpl, 0, returns=hid_t)
        finally:
            self.call("H5Sclose", space)

    def write(self, dataset, values):
        values = np.ascontiguousarray(values)
        self.call("H5Dwrite", dataset, self.type_of(values.dtype), 0, 0, 0, values.ctypes)

    def read(self, file, name, shape, dtype):
        values = np.empty(shape, dtype)
        dataset = self.call("H5Dopen2", file, name.encode(), 0, returns=hid_t)
        try:
            self.call("H5Dread", dataset, self.type_of(dtype), 0, 0, 0, values.ctypes)
        finally:
            self.call("H5Dclose", dataset)
        return values

    def close_dataset(self, dataset):
        self.call("H5Dclose", dataset)
