"""The plugin inside a host process: what it exports and loads, forks, threads, a missing or foreign engine."""
import concurrent.futures
import os
import shutil
import subprocess
import sys

import h5py
import pytest

import fields
import plugin
from fields import ABS, ID, decimal


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "u.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=fields.wave((32, 32, 16)), chunks=(16, 32, 16), compression=ID,
                         compression_opts=decimal(ABS, 1, 3))
    return path


SYSTEM = ("libc.so", "libm.so", "libpthread.so", "libdl.so", "ld-linux")  # of every Linux with glibc


def needs(dynamic):
    """The libraries of readelf's NEEDED lines."""
    return [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]


def test_exports_and_needs(run):
    library = os.path.join(os.environ["H5NEURAL_PLUGIN_DIR"], "libh5zneural.so")
    exported = [line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    assert sorted(s for s in exported if not s.startswith("__asan") and not s.startswith("__odr")) == \
        ["H5PLget_plugin_info", "H5PLget_plugin_type"]
    dynamic = run("readelf", "-d", library)
    sanitizers = ("libasan.so", "libubsan.so")
    assert [n for n in needs(dynamic) if not n.startswith(SYSTEM + sanitizers)] == []
    assert "NODELETE" in dynamic
    assert os.listdir(os.environ["H5NEURAL_PLUGIN_DIR"]) == ["libh5zneural.so"], "libhdf5 opens every file there"


def test_exports_of_the_engine(run):
    """Nothing but the C API, so that no C++ of ours meets the host's; and no library that a host may lack."""
    engine = os.path.join(os.path.dirname(os.environ["H5NEURAL_PLUGIN_DIR"]), "libh5neural.so")
    exported = [line.split()[-1] for line in run("nm", "-D", "--defined-only", engine).splitlines()]
    assert "h5n_decode" in exported and [s for s in exported if not s.startswith("h5n_")] == []
    needed = needs(run("readelf", "-d", engine))
    if not any(n.startswith("libasan") for n in needed):
        assert [n for n in needed if not n.startswith(SYSTEM)] == []


def test_the_class_that_hdf5_sees():
    library, filter_class = plugin.load()
    assert library.H5PLget_plugin_type() == 0
    assert (filter_class.version, filter_class.id) == (1, ID)
    assert filter_class.encoder_present and filter_class.decoder_present
    assert filter_class.name.startswith(b"h5neural")


def test_the_engine_is_not_loaded_before_a_chunk_comes(stored, python):
    python("""
import sys, h5py
loaded = lambda: "libh5neural.so" in open("/proc/self/maps").read()
with h5py.File(sys.argv[1]) as f:
    assert h5py.h5z.filter_avail(41017) and f["u"].shape and not loaded()
    f["u"][0]
assert loaded()
""", stored, env={"H5NEURAL_ENGINE": ""})


@pytest.fixture
def install(tmp_path):
    """A copy of the plugin in a tree without an engine."""
    folder = tmp_path / "lib" / "h5neural" / "plugin"
    folder.mkdir(parents=True)
    shutil.copy(os.path.join(os.environ["H5NEURAL_PLUGIN_DIR"], "libh5zneural.so"), folder)
    return {"HDF5_PLUGIN_PATH": str(folder), "H5NEURAL_PLUGIN_DIR": str(folder), "H5NEURAL_ENGINE": ""}


def test_a_missing_engine_is_told_at_creation_and_at_reading(stored, tmp_path, python, install):
    said = python("""
import sys, h5py, numpy as np
with h5py.File(sys.argv[2], "w") as f:
    try: f.create_dataset("u", data=np.ones(10, "f4"), chunks=(10,), compression=41017)
    except ValueError as e: print(e)
    assert "u" not in f
with h5py.File(sys.argv[1]) as f:
    try: f["u"][...]
    except OSError as e: print(e)
""", stored, tmp_path / "new.h5", env=install)
    first, second = said.splitlines()
    for sentence in (first, second):
        assert "h5neural: the engine cannot be opened" in sentence and "libh5neural.so" in sentence
        assert "set H5NEURAL_ENGINE" in sentence


def test_an_engine_named_by_the_environment(stored, python, install):
    beside = os.path.join(os.path.dirname(os.environ["H5NEURAL_PLUGIN_DIR"]), "libh5neural.so")
    engine = os.environ.get("H5NEURAL_ENGINE") or beside
    python("import sys, h5py; h5py.File(sys.argv[1])['u'][...]", stored, env={**install, "H5NEURAL_ENGINE": engine})


def test_an_engine_that_is_repaired_while_the_process_lives(stored, python, install):
    """A failure is not remembered: a notebook that failed goes on after the reinstall."""
    beside = os.path.join(os.path.dirname(os.environ["H5NEURAL_PLUGIN_DIR"]), "libh5neural.so")
    engine = os.environ.get("H5NEURAL_ENGINE") or beside
    python("""
import os, shutil, sys, h5py
with h5py.File(sys.argv[1]) as f:
    try: f["u"][...]
    except OSError: pass
    else: sys.exit("read without an engine")
    shutil.copy(sys.argv[2], os.path.dirname(os.environ["HDF5_PLUGIN_PATH"]) + "/libh5neural.so")
    f["u"][...]
""", stored, engine, env=install)


def test_a_foreign_engine_is_refused(stored, python, install, tmp_path):
    foreign = os.path.join(install["HDF5_PLUGIN_PATH"], "libh5zneural.so")  # some library that is no engine
    said = python("""
import sys, h5py
try: h5py.File(sys.argv[1])["u"][...]
except OSError as e: print(e)
""", stored, env={**install, "H5NEURAL_ENGINE": foreign})
    assert "is no engine of h5neural" in said


def test_an_engine_of_another_api_version_is_refused(stored, python, install, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    functions = "".join(f"void h5n_{n}(void) {{}}\n" for n in ("check", "encode", "inspect", "decode", "free"))
    (tmp_path / "other.c").write_text(functions + "unsigned h5n_api_major(void) { return 99; }\n")
    other = tmp_path / "other.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", other, tmp_path / "other.c"], check=True)
    said = python("""
import sys, h5py
try: h5py.File(sys.argv[1])["u"][...]
except OSError as e: print(e)
""", stored, env={**install, "H5NEURAL_ENGINE": str(other)})
    assert "has API version 99 and the plugin needs 1" in said


def test_fork_after_a_read(stored, python):
    """multiprocessing's way: the parent has read, the children read on, and write."""
    said = python("""
import os, sys, h5py, numpy as np
import fields
path = sys.argv[1]
with h5py.File(path) as f:
    expected = f["u"][...]
children = []
for i in range(8):
    child = os.fork()
    if child == 0:
        with h5py.File(path) as f:
            same = (f["u"][...] == expected).all()
        with h5py.File(f"{path}.{i}", "w") as f:
            f.create_dataset("u", data=expected, chunks=(16, 32, 16), compression=41017, compression_opts=(1, 1, 3))
        os._exit(0 if same else 1)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children])
for i in range(8):
    with h5py.File(f"{path}.{i}") as f:
        fields.check(expected, f["u"][...], fields.ABS, 1e-3)
""", stored, timeout=120)
    assert said.strip() == str([0] * 8)


def test_many_threads_read_one_file(stored):
    with h5py.File(stored) as f:
        expected = f["u"][...].tobytes()

    def read(_):
        with h5py.File(stored) as f:
            return f["u"][...].tobytes()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(read, range(64))) == {expected}


def test_the_filter_is_reentrant():
    """Encodes and decodes on 8 threads at once, without any lock: ctypes lets go of Python's."""
    fields_of = [fields.specials((6 + i, 20, 20), dtype) for i in range(4) for dtype in ("<f4", ">f8")]
    expected = [plugin.encode(v, decimal(ABS, 1, 3)) for v in fields_of]

    def work(i):
        values = fields_of[i % 8]
        payload = plugin.encode(values, decimal(ABS, 1, 3))
        assert payload == expected[i % 8]
        return plugin.decode(payload, values, decimal(ABS, 1, 3))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, back in enumerate(pool.map(work, range(40))):
            fields.check(fields_of[i % 8], back, ABS, 1e-3)


def test_first_use_by_many_threads_at_once(python):
    """The engine is opened once, however many threads ask for it first."""
    python("""
import concurrent.futures, threading
import fields, plugin
values = fields.wave((30, 30))
gate = threading.Barrier(16)
def first(_):
    gate.wait()
    return plugin.encode(values, (1, 1, 3))
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    payloads = list(pool.map(first, range(16)))
assert None not in payloads and len(set(payloads)) == 1
""")


def test_exit_while_threads_decode(stored, python):
    """The process may end at any moment: no crash in the exit handlers."""
    for _ in range(5):
        python("""
import os, sys, threading, time
import fields, plugin
values = fields.wave((32, 64, 64))
payload = plugin.encode(values, (1, 1, 3))
def forever():
    while True:
        plugin.decode(payload, values, (1, 1, 3))
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
""", stored, timeout=120)


CHUNK_BY_THREADS = """
import hashlib, os, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import fields, plugin
values = fields.wave((40, 60, 70))
payload = plugin.encode(values, fields.ieee(fields.ABS, 1e-3))
child = os.fork()  # threads live for one call: a fork between two is harmless
back = plugin.call(payload, (), plugin.REVERSE)
os.write(1, f"{hashlib.sha256(payload).hexdigest()} {hashlib.sha256(back).hexdigest()}\\n".encode())  # at once
if child:
    os._exit(os.waitpid(child, 0)[1] != 0)
"""


def test_threads_change_no_byte():
    """H5NEURAL_THREADS is about time only; and a process may fork between two chunks."""
    said = set()
    for threads in ("1", "3", "4", "nonsense"):
        r = subprocess.run([sys.executable, "-c", CHUNK_BY_THREADS, os.path.dirname(os.path.abspath(__file__))],
                           env=dict(os.environ, H5NEURAL_THREADS=threads), capture_output=True, text=True, timeout=120)
        assert r.returncode == 0, r.stderr
        lines = r.stdout.split("\n")[:2]
        assert lines[0] == lines[1]  # parent and child
        said.add(lines[0])
    assert len(said) == 1


PAYLOADS_AND_VALUES = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import fields, plugin
wave = fields.wave((40, 60, 70))
payloads = [plugin.encode(wave, words) for words in (fields.ieee(fields.ABS, 1e-3), fields.ieee(fields.NRMSE, 1e-3))]
payloads += [bytes.fromhex(line) for line in sys.stdin.read().split()]  # those of another set
for p in payloads:
    print(p.hex(), hashlib.sha256(plugin.call(p, (), plugin.REVERSE)).hexdigest())
"""


def payloads_and_values(backend, others=()):
    """The payloads that this set writes, and `others`: each with the hash of what it decodes to here."""
    r = subprocess.run([sys.executable, "-c", PAYLOADS_AND_VALUES, os.path.dirname(os.path.abspath(__file__))],
                       env=dict(os.environ, H5NEURAL_BACKEND=backend), input="\n".join(others), capture_output=True,
                       text=True, timeout=120)
    assert r.returncode == 0, r.stderr
    return dict(line.split() for line in r.stdout.splitlines())


@pytest.mark.parametrize("backend", ["scalar", "avx2", "avx512", "avx512vnni", "no such set"])
def test_backends_change_no_byte(backend):
    """H5NEURAL_BACKEND holds the vectors back; payloads written under each decode to the same bytes under all.

    The payloads themselves may differ: the writer fits in floats, whose sums depend on the set.
    """
    best = payloads_and_values("")
    held = payloads_and_values(backend, best)
    again = payloads_and_values("", held)
    assert len(held) >= 2 and held.items() <= again.items() and best.items() <= held.items()
