#!/usr/bin/env python3
"""Cut the fields of this folder out of a folder of public HDF5 files, whose origins README.md names.

    H5NEURAL_DATA=FOLDER python3 h5tests/fields/cut_fields.py [OUT_FOLDER]

Run once, by whoever changes the choice; the tests read what it wrote. Every field becomes one file, as one chunk,
shuffled and deflated, with the attributes it had. It knows no filter of ours. Needs h5py.
"""
import os
import sys

import h5py

HERE = os.path.dirname(os.path.abspath(__file__))

# (file written, file read, dataset, part kept, HDF5 fill value or None)
FIELDS = [
    ("bluntfin_density", "cfd_bluntfin", "density", ..., None),
    ("bluntfin_energy", "cfd_bluntfin", "energy", ..., None),
    ("ccsm3_trefht", "climate_ccsm3_trefht", "TREFHT_B06_57", slice(0, 16), None),
    ("cylinder_vorticity_f64", "cfd_cylinder_vorticity_f64", "vorticity", ..., None),
    ("femm_bz_f64", "em_femm_magnet_f64", "Bz", ..., None),
    ("jma_dbzh_nan", "radar_jma", "DBZH", ..., None),
    ("sst_fill", "obs_air_sea_flux", "SST", ..., 1e34),
    ("wrf_qcloud_sparse", "nwp_wrf_small", "QCLOUD", ..., None),
]


def cut(source, out, name, file, dataset, part, fill):
    """Copies one field and its attributes to OUT/name.h5."""
    with h5py.File(os.path.join(source, file + ".h5")) as src:
        d = src[dataset]
        values = d[part]
        # libver v110 and no times: the same bytes whenever and wherever it is cut.
        with h5py.File(os.path.join(out, name + ".h5"), "w", libver=("earliest", "v110")) as dst:
            new = dst.create_dataset(dataset, data=values, chunks=values.shape, shuffle=True, compression="gzip",
                                     compression_opts=9, fillvalue=fill, track_times=False)
            for key, value in d.attrs.items():
                new.attrs[key] = value
    return os.path.getsize(os.path.join(out, name + ".h5"))


def main():
    source = os.environ.get("H5NEURAL_DATA")
    if not source:
        sys.exit("cut_fields: H5NEURAL_DATA is unset; point it at the folder that holds "
                 + ", ".join(sorted({f[1] + ".h5" for f in FIELDS})))
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    for name, file, dataset, part, fill in FIELDS:
        print(f"{name}.h5  {cut(source, out, name, file, dataset, part, fill)} bytes")


if __name__ == "__main__":
    main()
