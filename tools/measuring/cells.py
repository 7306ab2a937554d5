"""A cell: one field, one codec, one bound, written as one chunk and read back, in a process of its own.

A process of its own, because some codecs crash or hang on NaN. `run` starts it and never raises for what the codec
does: the answer's status is ok, violated, crash, hang or error.

SPERR gets its extents reversed: hdf5plugin 7.1.0 hands them to it the wrong way round, and a field whose shape is no
palindrome would be coded scrambled, two to six times too large.
"""
import io
import json
import os
import re
import subprocess
import sys
import time

import numpy as np

from . import engine, fields, peers

PEERS = ("sz3", "sperr", "zfp")
IEEE_DOUBLE = 0x100  # flag of cd_values[0]: the bound is the two words of a double


def filter_id():
    """The number that HDF5 files carry for our filter; it stands in one header only."""
    with open(os.path.join(engine.SOURCE, "filter", "filter_id.h")) as f:
        return int(re.search(r"#define H5NEURAL_FILTER_ID (\d+)", f.read())[1])


def plugin_path():
    """Where HDF5 shall look for our plugin: the caller's HDF5_PLUGIN_PATH, else build/release."""
    return os.environ.get("HDF5_PLUGIN_PATH") or os.path.join(engine.BUILD, "lib", "h5neural", "plugin")


def cd_values(mode, bound, effort=5):
    """cd_values of our filter, with the bound as the two words of a double, low word first."""
    low = high = 0
    if mode != "lossless":
        word = int(fields.bits(np.array([bound], "f8"))[0])
        low, high = word & 0xFFFFFFFF, word >> 32
    return engine.MODES[mode] | (0 if mode == "lossless" else IEEE_DOUBLE), low, high, 0, 0, effort


def run(path, name, codec, mode, bound, timeout, effort=5):
    """One cell in a process of its own. Returns the dict of `measure`, or {status, message}."""
    job = json.dumps(dict(path=path, name=name, codec=codec, mode=mode, bound=bound, effort=effort))
    env = dict(os.environ, HDF5_PLUGIN_PATH=plugin_path(),
               PYTHONPATH=os.path.join(engine.SOURCE, "tools"))
    try:
        r = subprocess.run([sys.executable, "-m", "measuring.cells", job], capture_output=True, text=True,
                           timeout=timeout, env=env)
    except subprocess.TimeoutExpired:
        return dict(status="hang", message=f"no answer within {timeout:g} s")
    last = (r.stdout.strip().splitlines() or [""])[-1]
    if r.returncode == 0 and last.startswith("{"):
        return json.loads(last)
    reason = (r.stderr.strip().splitlines() or ["no message"])[-1]
    if r.returncode < 0:
        return dict(status="crash", message=f"signal {-r.returncode}: {reason}")
    return dict(status="error", message=reason)


def measure(path, name, codec, mode, bound, effort=5):
    """Writes, reads, compares. Runs in the cell's own process."""
    import h5py
    a, fill = fields.load(path, name)
    ours = codec == "h5neural"
    shape = a.shape[::-1] if codec == "sperr" else a.shape
    args = (dict(compression=filter_id(), compression_opts=cd_values(mode, bound, effort), fillvalue=fill) if ours
            else peers.options(codec, "abs", bound))
    file = io.BytesIO()
    t0 = time.perf_counter()
    with h5py.File(file, "w") as f:
        f.create_dataset("d", data=a.reshape(shape), chunks=shape, **args)
    t1 = time.perf_counter()
    with h5py.File(file, "r") as f:
        d = f["d"]
        stored = d.id.get_storage_size()
        t2 = time.perf_counter()
        b = d[...].reshape(a.shape)
        t3 = time.perf_counter()
        mask, chunk = d.id.read_direct_chunk((0,) * a.ndim)
    row = dict(stored=stored, ratio=a.nbytes / max(stored, 1), enc_s=t1 - t0, dec_s=t3 - t2, raw=a.nbytes)
    row.update(fields.compare(a, b, fill))
    if ours:
        row.update(judge_ours(a, mode, bound, row, mask, chunk))
    else:
        row["abs"] = bound
        row["status"] = "ok" if row["bad_nonfinite"] == 0 and row["max_err"] <= bound else "violated"
    row["err_over_bound"] = row["max_err"] / row["abs"] if row["abs"] else row["max_err"]
    return row


def judge_ours(a, mode, bound, row, mask, chunk):
    """The status of our own cell, from what came back and from what the payload says of itself."""
    info = engine.Engine(os.environ.get("H5NEURAL_MEASURE_ENGINE")).inspect(chunk)
    out = dict(kind=engine.KINDS[info.kind], model=info.model_name.decode() or (f"{info.model:016x}" if info.model else ""),
               header_bytes=info.header_bytes, latents_bytes=info.latents_bytes,
               corrections_bytes=info.corrections_bytes, specials_bytes=info.specials_bytes)
    problems = []
    if mask:
        problems.append("HDF5 stored the chunk unfiltered")
    if tuple(info.dims[:info.rank]) != a.shape or info.raw_bytes != a.nbytes:
        problems.append("the payload's extents are not the chunk's")
    if row["bad_specials"]:
        problems.append(f"{row['bad_specials']} of {row['specials']} specials changed")
    if len(chunk) > a.nbytes + 64:
        problems.append("the payload is larger than the raw chunk and a header")
    # The bound that the payload names is checked, and that it is not wider than what was asked for.
    limit = dict(abs=bound, rel=bound * fields.finite_range(a), lossless=0.0)[mode]
    out["abs"] = bound if mode == "abs" else info.abs_bound
    if out["abs"] > limit:
        problems.append(f"the payload keeps {out['abs']:g} where {limit:g} was asked for")
    if row["max_err"] > out["abs"] or (mode == "lossless" and not row["exact"]):
        problems.append(f"largest error {row['max_err']:g}, bound {out['abs']:g}")
    out["status"] = "violated" if problems else "ok"
    out["message"] = "; ".join(problems)
    return out


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
