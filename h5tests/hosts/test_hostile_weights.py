"""Weights files as a stranger may hand them over: unreadable, cut, or with a header that promises the impossible. Each is an
error that says what is wrong, and takes no more memory than what the file holds and its header may ask for."""
import copy
import json
import os
import struct
import subprocess

import pytest

from test_cli import ROOT, TOOL, pytestmark  # noqa: F401 (a mark)

SEEDS = os.path.join(ROOT, "h5tests", "fuzz", "seeds", "weights")
MOST = 100 << 20  # bytes above what a good file takes: a basis of 2^24 int16 and what decoding one field of it needs


def parts(name):
    """A seed's header and data."""
    with open(os.path.join(SEEDS, name + ".safetensors"), "rb") as f:
        whole = f.read()
    n, = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8:8 + n]), whole[8 + n:]


def joined(header, data, length=None):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def with_config(name, **changes):
    header, data = parts(name)
    meta = header["__metadata__"]
    meta["config"] = json.dumps({**json.loads(meta["config"]), **changes})
    return joined(header, data)


def with_program(name, program, change):
    """One operation of a program replaced."""
    header, data = parts(name)
    meta = header["__metadata__"]
    p = json.loads(meta[f"program.{program}"])
    change(p)
    meta[f"program.{program}"] = json.dumps(p)
    return joined(header, data)


def with_tensor(name, **changes):
    header, data = copy.deepcopy(parts(name))
    first = next(k for k in header if k != "__metadata__")
    header[first].update(changes)
    return joined(header, data)


def scaled(p):
    p["ops"][0] = {"op": "requantise", "in": [0], "multiplier": 2**31 - 1, "shift": 0, "min": -2**31, "max": 2**31 - 1}


def widened(p):
    p["inputs"][0].update(min=-2**31, max=2**31 - 1)


def grown(p):
    p["inputs"][0]["shape"] = [2**31 - 1]


def narrowed(p):
    p["inputs"][0]["max"] = 1000


def unlimited(p):
    p["ops"][3].update(min=-32768, max=32767)


def long_chain(p):
    """No multiplications, but a million elements for each point."""
    p["ops"] += [{"op": "concat", "in": [8 + k - 1] * 2} for k in range(18)]


def two_outputs(p):
    p["outputs"] = [4, 6]


def cases():
    for name in ("block", "chunk", "linear-block", "linear-chunk", "corrections"):
        header, data = parts(name)
        whole = joined(header, data)
        yield f"{name}: header of 2^62 bytes", joined(header, data, 1 << 62)
        yield f"{name}: header of 2^31 bytes", joined(header, data, 1 << 31)
        for cut in (1, len(whole) // 3, len(whole) - 1):
            yield f"{name}: cut at {cut}", whole[:cut]
        yield f"{name}: no data", joined(header, b"")
        yield f"{name}: tensor of 2^40", with_tensor(name, shape=[1 << 40], data_offsets=[0, 1 << 40])
        yield f"{name}: tensor elsewhere", with_tensor(name, data_offsets=[1 << 60, (1 << 60) + 1])
    for name in ("chunk", "linear-chunk", "linear-block"):
        for extents in ([1 << 22] * 3, [1 << 22, 1, 1], [256, 256, 256], [0, 4, 4], [-1, 4, 4]):
            yield f"{name}: extents {extents}", with_config(name, extents=extents)
    for name in ("linear-chunk", "linear-block"):
        for key, value in (("bytes", [1 << 30] * 4), ("bits", [24] * 4), ("exponents", [15] * 255), ("scales", []),
                           ("bytes", [0] * 4)):
            yield f"{name}: {key} {value[:1]} * {len(value)}", with_config(name, **{key: value})
    yield "block: edge", with_config("block", edge=1 << 30)
    for name, program in (("block", "decode"), ("chunk", "coefficients"), ("chunk", "field")):
        for change in (scaled, grown) if program == "coefficients" else (scaled, widened, grown):
            yield f"{name}: {program} {change.__name__}", with_program(name, program, change)
    # A network for the walk: shown more than it is made for, too large for a point, or answering without limits.
    for key, value in (("pairs", 0), ("pairs", 1 << 30), ("pairs", 4), ("differences", -1), ("magnitudes", 13), ("from_context", 36)):
        yield f"corrections: {key} {value}", with_config("corrections", **{key: value})
    for change in (scaled, widened, grown, narrowed, unlimited, long_chain, two_outputs):
        yield f"corrections: {change.__name__}", with_program("corrections", "refine", change)
    header, data = parts("corrections")
    del header["__metadata__"]["program.refine"]
    yield "corrections: no program", joined(header, data)
    yield "nothing", b""
    yield "zeros", b"\0" * 4096


def run(*arguments, **env):
    """Exit status, output, and the most memory that a program took."""
    with subprocess.Popen([TOOL, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, **env}) as p:
        said = p.stdout.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    return p.returncode, said, usage.ru_maxrss << 10


def found(folder):
    """What a search of a folder finds, by the name of the file, and the memory that it took."""
    status, said, memory = run("weights", "list", "--json", H5NEURAL_WEIGHTS_PATH=str(folder))
    assert status == 0, said
    return {os.path.basename(w["source"]): w for w in json.loads(said)}, memory


def test_a_sentence_and_little_memory(tmp_path):
    contents = list(cases())
    for number, (_, content) in enumerate(contents):
        (tmp_path / f"{number}.safetensors").write_bytes(content)
    weights, memory = found(tmp_path)
    _, usual = found(SEEDS)
    for number, (what, _) in enumerate(contents):
        problem = weights[f"{number}.safetensors"]["problem"]
        assert problem.startswith("h5neural: ") and "refused" in problem and "get the" in problem, f"{what}: {problem}"
    assert memory < usual + MOST, f"{memory >> 20} MiB, {usual >> 20} for good files"


@pytest.mark.parametrize("what", ["cut", "folder.safetensors", "none.safetensors"])
def test_one_that_was_asked_for(tmp_path, what):
    """An error of whoever uses it, by every way to name a file."""
    (tmp_path / "folder.safetensors").mkdir()
    path = tmp_path / what
    if what == "cut":
        path = tmp_path / "cut.safetensors"
        path.write_bytes(dict(cases())["chunk: cut at 1"])
    for command in (["flags", "--rel", "1e-2", "--model", path], ["train", "a.h5:/u", "--rel", "1", "--from", path, "-o", "w.safetensors"],
                    ["repack", "--rel", "1e-2", "--weights", path, "a.h5", "b.h5"]):
        status, said, _ = run(*command)
        assert status == 2 and path.name in said and said.startswith("h5neural: ") and len(said.splitlines()) == 1, said
