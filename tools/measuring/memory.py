"""Memory that one chunk takes to write and to read: the largest resident set of a process while it does nothing else, less
what it had when it had loaded the engine and held the chunk, or the payload. In MB (10^6 bytes); weights are in it, which
the engine loads then, and, of reading, the values that come out. Linux.

    memory.py write ENGINE CHUNK.npy MODE BOUND MODEL EFFORT PAYLOAD
    memory.py read ENGINE PAYLOAD BYTES

are these processes: they print the number, and the first leaves the payload.
"""
import os
import pathlib
import subprocess
import sys
import tempfile


def _resident(key):
    """VmRSS, now, or VmHWM, the most since it was last forgotten; in bytes."""
    with open("/proc/self/status") as f:
        return next(1024 * int(line.split()[1]) for line in f if line.startswith(key))


def _taken(work):
    """What work() gives, and the memory it took."""
    before = _resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # forget the most so far
    result = work()
    return result, (_resident("VmHWM") - before) / 1e6


def _child(*arguments, weights):
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True, check=True,
                          env=dict(os.environ, H5NEURAL_WEIGHTS_PATH=str(weights or "")))
    return float(done.stdout)


def of_chunk(library, chunk, mode, bound, model, effort, weights=None):
    """(MB to write the chunk, MB to read it) by the engine `library`; `weights`: the file of the model."""
    import numpy as np
    with tempfile.TemporaryDirectory() as folder:
        values, payload = pathlib.Path(folder) / "chunk.npy", pathlib.Path(folder) / "payload"
        np.save(values, chunk)
        wrote = _child("write", library, values, mode, bound, model, effort, payload, weights=weights)
        return wrote, _child("read", library, payload, chunk.nbytes, weights=weights)


def main():
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import numpy as np
    from measuring import engine
    what, library, source, *rest = sys.argv[1:]
    lib = engine.Engine(library)
    if what == "write":
        mode, bound, model, effort, out = int(rest[0]), float(rest[1]), int(rest[2]), int(rest[3]), rest[4]
        chunk = np.load(source)
        payload, megabytes = _taken(lambda: lib.encode(chunk, mode, bound, model=model, effort=effort))
        pathlib.Path(out).write_bytes(payload)
    else:
        payload = pathlib.Path(source).read_bytes()
        _, megabytes = _taken(lambda: lib.decode(payload, int(rest[0])))
    print(f"{megabytes:.1f}")


if __name__ == "__main__":
    main()
