"""h5neural-worker serve, and writers that have their programs run by it: the same payloads with it, without it and when it
dies; readers never ask it. Needs a build with LibTorch."""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from test_cli import ROOT, WORKER, h5neural, pytestmark as needs_tool  # noqa: F401 (a fixture and a mark)
from test_train import needs_worker

pytestmark = [needs_tool, needs_worker]

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHTS = os.pathsep.join(os.path.join(ROOT, *p) for p in (("h5tests", "fuzz", "seeds", "weights"), ("weights",)))
MODELS = ["three_branch_f32", "three_branch_f64be", "three_branch_slices", "frames_f32", "frames_f64be", "frames_solid_f32",
          "vae_f32", "contextual_f64be", "dcae_nrmse", "diffusion_f32", "block5_f32", "blocks_f32",
          "blocks_cut_f64be", "network_f64be", "swae_chunk"]

# Golden cases (h5tests/golden/make_golden.py) through the plugin: encode NAME... prints each payload, decode reads payloads.
HELPER = f"""
import hashlib, os, sys, time
sys.path[:0] = [{HERE!r}, {os.path.join(ROOT, "h5tests", "golden")!r}]
import make_golden, fields, plugin
cases = {{name: rest for name, *rest in make_golden.cases()}}
cases["swae_chunk"] = (make_golden.two_punctures(), "rel", 0.1, None, "swae-chunk32-chi")
def encode(name):
    a, mode, bound, _, weights = cases[name]
    hash = make_golden.hash_of(weights)
    mode = {{"abs": fields.ABS, "rel": fields.REL, "nrmse": fields.NRMSE}}[mode]
    return plugin.encode(a, (*fields.ieee(mode, bound), hash >> 32, hash & 0xffffffff, 5))
def decode(name, payload):
    return hashlib.sha256(plugin.call(payload, (), plugin.REVERSE)).hexdigest()
"""


@pytest.fixture
def runtime(tmp_path):
    """A run-time folder of its own, short enough for a socket's path; what serves there ends with the test."""
    folder = f"/tmp/h5neural-test-{os.getpid()}-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    os.mkdir(folder, 0o700)
    yield folder
    subprocess.run([WORKER, "stop"], env={**os.environ, "XDG_RUNTIME_DIR": folder}, capture_output=True)
    subprocess.run(["rm", "-rf", folder])


class Worker:
    def __init__(self, runtime, *options, wait=True):
        self.env = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        self.process = subprocess.Popen([WORKER, "serve", "--threads", "1", *options], env=self.env, stderr=subprocess.PIPE,
                                        text=True)
        assert not wait or self.wait(), self.process.stderr.read()

    def wait(self, seconds=60):
        return wait_until(lambda: self.status() or self.process.poll() is not None, seconds) and self.status()

    def status(self):
        return status(self.env["XDG_RUNTIME_DIR"])


def status(runtime):
    """What `status` prints, as a dictionary; empty where none serves."""
    done = subprocess.run([WORKER, "status"], env={**os.environ, "XDG_RUNTIME_DIR": runtime}, capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines()) if done.returncode == 0 else {}


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def environment(runtime, wanted, **more):
    return {**os.environ, "XDG_RUNTIME_DIR": runtime, "H5NEURAL_WORKER": wanted, "H5NEURAL_WEIGHTS_PATH": WEIGHTS, **more}


def start_python(source, *arguments, env):
    return subprocess.Popen([sys.executable, "-c", HELPER + source, *map(str, arguments)], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def output_of(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out.split()


PAYLOADS = "for name in sys.argv[1:]: print(encode(name).hex())"


def payloads(runtime, wanted, names=MODELS, **more):
    return output_of(start_python(PAYLOADS, *names, env=environment(runtime, wanted, **more)))


@pytest.fixture(scope="module")
def alone():
    """The payloads that the engine writes by itself."""
    return payloads("/nowhere", "off")


def test_the_same_payloads(runtime, alone):
    worker = Worker(runtime)
    assert worker.status()["known answer"] == "passed"
    assert payloads(runtime, "always") == alone
    after = worker.status()
    assert int(after["items"]) > 0 and int(after["programs"]) >= 8
    assert payloads(runtime, "auto") == alone
    assert payloads(runtime, "on") == alone
    assert payloads(runtime, os.path.join(runtime, "h5neural", "worker.socket")) == alone
    assert payloads(runtime, "always", H5NEURAL_THREADS="3") == alone


def test_reading_asks_no_worker(runtime, alone):
    """And gives the same bytes under every backend."""
    worker = Worker(runtime)
    source = "for p in zip(sys.argv[1:], sys.stdin.read().split()): print(decode(p[0], bytes.fromhex(p[1])))"
    said = set()
    for backend in ("scalar", "avx2", "avx512vnni", ""):
        done = subprocess.run([sys.executable, "-c", HELPER + source, *MODELS], input="\n".join(alone), text=True,
                              capture_output=True, env=environment(runtime, "always", H5NEURAL_BACKEND=backend))
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1 and len(said.pop().split()) == len(MODELS)
    assert worker.status()["items"] == "0"


MANY = """
rounds = 3  # after the file is there
while rounds > 0:
    rounds -= os.path.exists(sys.argv[1])
    print(*sorted({encode(name).hex() for name in sys.argv[2:]}))
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_killed_or_stopped_in_the_middle_of_writes(runtime, alone, tmp_path, sent):
    """The writer neither hangs nor writes anything else."""
    worker, names = Worker(runtime), MODELS[:4]
    writer = start_python(MANY, tmp_path / "enough", *names, env=environment(runtime, "always"))
    assert wait_until(lambda: int(worker.status().get("items", 0)) > 100)
    os.kill(worker.process.pid, sent)
    try:
        (tmp_path / "enough").touch()
        said = output_of(writer, 120)
        assert len(said) >= 3 * 4 and said == len(said) // 4 * sorted(alone[:4])
    finally:
        worker.process.kill()


def test_four_processes_at_once(runtime, alone):
    worker = Worker(runtime)
    writers = [start_python(PAYLOADS, *MODELS, env=environment(runtime, "always")) for _ in range(4)]
    assert all(output_of(w) == alone for w in writers)
    assert int(worker.status()["items"]) > 0


def test_fork_after_use(runtime, alone):
    Worker(runtime)
    source = """
names = sys.argv[1:]
first = [encode(n).hex() for n in names]
first = [encode(n).hex() for n in names]
child = os.fork()
again = [encode(n).hex() for n in names]
if child == 0: os._exit(0 if again == first else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), again == first, *again)
"""
    assert output_of(start_python(source, *MODELS[:6], env=environment(runtime, "always"))) == ["0", "True", *alone[:6]]


def test_threads(runtime, alone):
    """Each thread has a connection of its own."""
    worker = Worker(runtime)
    source = """
import concurrent.futures
names = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    said = list(pool.map(lambda _: [encode(n).hex() for n in names], range(8)))
assert all(s == said[0] for s in said)
print(*said[0])
"""
    assert output_of(start_python(source, *MODELS[:6], env=environment(runtime, "always"))) == alone[:6]
    assert int(worker.status()["items"]) > 0


def test_it_ends_when_idle(runtime):
    worker, path = Worker(runtime, "--idle", "1", wait=False), os.path.join(runtime, "h5neural", "worker.socket")
    assert wait_until(lambda: os.path.exists(path))
    assert worker.process.wait(30) == 0 and not os.path.exists(path) and worker.status() == {}


def test_stop(runtime):
    worker = Worker(runtime)
    assert subprocess.run([WORKER, "stop"], env=worker.env).returncode == 0
    assert worker.process.wait(30) == 0
    assert subprocess.run([WORKER, "stop"], env=worker.env, capture_output=True).returncode == 3
    worker = Worker(runtime)
    worker.process.terminate()
    assert worker.process.wait(30) == 0


def test_only_one_serves(runtime):
    worker = Worker(runtime)
    second = Worker(runtime, wait=False)
    assert second.process.wait(60) == 1 and "another one serves" in second.process.stderr.read()
    assert worker.status()["pid"] == str(worker.process.pid)


def test_a_stale_socket(runtime):
    """What a killed worker leaves behind hinders neither writers nor the next worker."""
    folder = os.path.join(runtime, "h5neural")
    os.mkdir(folder, 0o700)
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stale.bind(os.path.join(folder, "worker.socket"))
    stale.close()
    assert status(runtime) == {}
    assert Worker(runtime).status()


STARTED = """
import fcntl
held = open(sys.argv[2], "w")
fcntl.flock(held, fcntl.LOCK_EX)
os.set_inheritable(held.fileno(), True)
for _ in range(400):
    print(encode(sys.argv[1]).hex(), flush=True)
    if os.path.exists(os.environ["XDG_RUNTIME_DIR"] + "/h5neural/worker.socket"): break
    time.sleep(0.1)
for _ in range(4):
    print(encode(sys.argv[1]).hex(), flush=True)
    time.sleep(0.1)
"""


def test_started_on_demand(runtime, alone, tmp_path):
    """By the first writer that wants one: no child of that, in another session, with nothing of its files open."""
    held = tmp_path / "held"
    writers = [start_python(STARTED, MODELS[0], f"{held}{i}", env=environment(runtime, "always")) for i in range(2)]
    for w in writers:
        assert set(output_of(w)) == {alone[0]}
    said = status(runtime)
    assert said and int(said["items"]) > 0
    pid = int(said["pid"])
    with open(f"/proc/{pid}/stat") as f:
        parent, _, session = f.read().rpartition(")")[2].split()[1:4]
    assert int(parent) not in (w.pid for w in writers) and int(session) not in (os.getsid(0), pid)
    files = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert not any(str(held) in f for f in files), files
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def refused(runtime, alone):
    worker = Worker(runtime, wait=False)
    assert worker.process.wait(60) == 1 and "nobody else may enter" in worker.process.stderr.read()
    assert payloads(runtime, "always", MODELS[:1]) == alone[:1]
    assert status(runtime) == {} and not os.path.exists(os.path.join(runtime, "h5neural", "worker.socket"))


def test_a_folder_that_others_may_enter(runtime, alone):
    os.mkdir(os.path.join(runtime, "h5neural"))
    os.chmod(os.path.join(runtime, "h5neural"), 0o755)
    refused(runtime, alone)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user(runtime, alone):
    os.mkdir(os.path.join(runtime, "h5neural"), 0o700)
    os.chown(os.path.join(runtime, "h5neural"), 65534, 65534)
    refused(runtime, alone)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_socket_of_another_user(runtime, alone, tmp_path):
    """In our folder, but the one that listens is somebody else: it is told nothing."""
    folder = os.path.join(runtime, "h5neural")
    os.mkdir(folder, 0o700)
    listener = subprocess.Popen([sys.executable, "-c", f"""
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind({folder!r} + "/worker.socket")
os.setresuid(65534, 65534, 65534)
s.listen()
print("ready", flush=True)
print(s.accept()[0].recv(4096), flush=True)
"""], stdout=subprocess.PIPE, text=True)
    assert listener.stdout.readline() == "ready\n"
    done = subprocess.run([WORKER, "status"], env={**os.environ, "XDG_RUNTIME_DIR": runtime}, capture_output=True, text=True)
    assert done.returncode == 3 and "another user" in done.stdout
    assert listener.stdout.readline() == "b''\n"
    listener.wait(10)
    assert payloads(runtime, os.path.join(folder, "worker.socket"), MODELS[:1]) == alone[:1]


def test_doctor_tells_of_it(h5neural, runtime):
    env = {"XDG_RUNTIME_DIR": runtime}
    assert "no worker serves at" in h5neural("doctor", env=env).stdout
    Worker(runtime)
    said = h5neural("doctor", env=env).stdout
    assert "serves on cpu" in said and "torch" in said and "passed" in said


def test_options_are_checked(runtime):
    for arguments in (["serve", "--idle", "0"], ["serve", "--device", "tpu"], ["serve", "--socket", "x"], ["status", "--idle", "3"],
                      ["serve", "--idle"]):
        done = subprocess.run([WORKER, *arguments], env={**os.environ, "XDG_RUNTIME_DIR": runtime}, capture_output=True, text=True)
        assert done.returncode == 1 and "h5neural-worker: " in done.stderr, arguments
