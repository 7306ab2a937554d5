"""docs/format.md says enough: a reader written from it alone (h5tests/format) gives the library's bits.

On golden payloads, on payloads written here, on random ones that take every way of the format, on damaged ones, and on
the example in the page itself. Payloads with a model's field are left out, but for one family; those with a network in
the walk are not.
"""
import glob
import math
import os
import random
import re
import struct
import sys

import numpy as np
import pytest

import fields
import plugin
from fields import ABS, BLOCK_NRMSE, LOSSLESS, NRMSE, PSNR, RATIO, REL, decimal, ieee

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "h5tests", "format"))
sys.path.insert(0, os.path.join(ROOT, "h5tests", "fuzz"))
import make_seeds  # noqa: E402
import random_payload  # noqa: E402
import read_frames  # noqa: E402
import read_latents  # noqa: E402
import read_network  # noqa: E402
import read_payload  # noqa: E402
import read_three_branch  # noqa: E402


def needs_a_model(path):
    """Whether its base comes from a model, which the independent reader does not have."""
    return read_payload.Header(open(path, "rb").read()).model != 0


GOLDEN = [p for p in sorted(glob.glob(os.path.join(ROOT, "h5tests", "golden", "v1", "*.payload")))
          if not needs_a_model(p)]


def library(payload):
    """What the library decodes; None when it refuses."""
    return plugin.call(payload, (), plugin.REVERSE)


def agrees(payload, ways=None, network=None):
    """Decodes with both readers, and adds to `ways` what the independent one went through."""
    ways = set() if ways is None else ways
    mine = read_payload.read_payload(payload, ways.add, network=network)
    theirs = library(payload)
    assert theirs is not None, "the library refuses what the format allows"
    assert mine == theirs, "the two readers give different bits"
    return ways


@pytest.mark.parametrize("path", GOLDEN, ids=os.path.basename)
def test_golden_payloads(path):
    agrees(open(path, "rb").read())


THREE_BRANCH = sorted(glob.glob(os.path.join(ROOT, "h5tests", "golden", "v1", "three_branch_*.payload")))
SEEDS = os.path.join(ROOT, "h5tests", "fuzz", "seeds", "weights")
THREE_BRANCH_WEIGHTS = os.path.join(SEEDS, "three-branch.safetensors")


@pytest.mark.parametrize("path", THREE_BRANCH, ids=os.path.basename)
def test_three_branch(path):
    """Its latents too are read from what the page says, and the hash of the values, which the library made, agrees."""
    payload = open(path, "rb").read()
    assert read_payload.Header(payload).model
    read_payload.read_payload(payload, base_of=lambda h: read_three_branch.read_base(THREE_BRANCH_WEIGHTS, h.latents,
                                                                                     h.extents))


FAMILIES = ["vae", "contextual", "contextual-around", "dcae", "diffusion"]
LATENTS = [(f, path) for f in FAMILIES for path in sorted(glob.glob(os.path.join(ROOT, "h5tests", "golden", "v1", f + "_*.payload")))]


@pytest.mark.parametrize("family, path", LATENTS, ids=[os.path.basename(path) for _, path in LATENTS])
def test_latents_of_series(family, path):
    """Latents, what is expected of them and what is generated, from what the pages say; the hash of the values agrees."""
    payload, weights = open(path, "rb").read(), os.path.join(SEEDS, family + ".safetensors")
    assert read_payload.Header(payload).model
    read_payload.read_payload(payload, base_of=lambda h: read_latents.read_base(weights, h.latents, h.extents))


def test_latents_wrap():
    """Among the golden payloads that the test above reads are some that wrap."""
    wraps = {(family, read_payload.Header(open(path, "rb").read()).latents[0] >> 6) for family, path in LATENTS}
    assert wraps >= {("vae", 0), ("vae", 3), ("contextual", 0), ("contextual-around", 3)}


FRAMES = sorted(glob.glob(os.path.join(ROOT, "h5tests", "golden", "v1", "frames_*.payload")))


def frames_by(name):
    return lambda h: read_frames.Frames(os.path.join(SEEDS, name + ".safetensors"), h.latents)


def test_frames():
    """Golden payloads of frames, walked or transformed, their predictions too from what the pages say."""
    ways = set()
    for path in FRAMES:
        payload = open(path, "rb").read()
        assert read_payload.Header(payload).kind in (read_payload.FRAMES, read_payload.TRANSFORM)
        weights = "frames-solid" if "solid" in os.path.basename(path) else "frames"
        read_payload.read_payload(payload, ways.add, frames_of=frames_by(weights))
    assert ways >= {"causal", "kept", "between", "frames of a transform", "patterns"}


@pytest.mark.parametrize("block", range(2))
def test_random_frames_take_every_way(block, monkeypatch):
    monkeypatch.setenv("H5NEURAL_WEIGHTS_PATH", SEEDS)
    ways = set()
    for seed in range(25 * block, 25 * block + 25):
        payload = random_payload.frames_payload(seed, os.path.join(SEEDS, "frames.safetensors"))
        assert library(payload) == read_payload.read_payload(payload, ways.add, frames_of=frames_by("frames"))
    assert not {"causal", "kept", "between", "a group", "a frame", "an echo", "no echo", *(f"share {k}" for k in range(9)), "blend",
                "no blend", "patterns", "literals", "domain 0"} - ways


NETWORK = os.path.join(ROOT, "h5tests", "fuzz", "seeds", "weights", "corrections.safetensors")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The one of the golden payloads, which knows of some fields what the walk does not; and random ones, that are shown
    as little as there can be, more than stencils have, and something between."""
    folder = tmp_path_factory.mktemp("networks")
    shapes = {"least": (1, 0, 0, 0), "most": (64, 64, 12, 0), "some": (5, 3, 4, 9)}
    for seed, (name, shape) in enumerate(shapes.items()):
        make_seeds.safetensors(folder / f"{name}.safetensors", *make_seeds.corrections(False, seed, *shape))
    before = os.environ.get("H5NEURAL_WEIGHTS_PATH")
    os.environ["H5NEURAL_WEIGHTS_PATH"] = f"{folder}:{NETWORK}"
    yield {"knows": read_network.Network(NETWORK), **{n: read_network.Network(folder / f"{n}.safetensors") for n in shapes}}
    if before is None:
        del os.environ["H5NEURAL_WEIGHTS_PATH"]
    else:
        os.environ["H5NEURAL_WEIGHTS_PATH"] = before


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(ROOT, "h5tests", "golden", "v1", "network_*.payload"))),
                         ids=os.path.basename)
def test_golden_networks(path, networks):
    assert "network asked" in agrees(open(path, "rb").read(), network=networks["knows"])


def test_enough_golden_payloads():
    assert len(GOLDEN) >= 50


def stack_of_maps(dtype="<f4"):
    rng = np.random.default_rng(3)
    return (rng.normal(0, 10, (1, 20, 24)) + rng.normal(0, 0.05, (12, 20, 24))).astype(dtype)


def waves(shape, dtype="<f4"):
    """Smooth, without noise."""
    return sum(np.sin((a + 4) * x + a) for a, x in enumerate(
        np.meshgrid(*[np.linspace(0, 2, n) for n in shape], indexing="ij", sparse=True))).astype(dtype)


def places_of_their_own(dtype):
    """Forty maps about a rough mean; what a point makes of its neighbours differs from place to place."""
    rng = np.random.default_rng(12)
    coarse = np.repeat(np.repeat(rng.normal(size=(40, 7, 7)), 3, axis=1), 3, axis=2)[:, :20, :21]
    share = rng.uniform(0.2, 1.8, (1, 20, 21))
    return (rng.normal(0, 20, (1, 20, 21)) + share * coarse).astype(dtype)


def round_the_globe(dtype):
    """A wave along the last axis whose first point follows the last one, under noise."""
    x, y = np.arange(64), np.arange(33)[:, None]
    return (np.sin(x * np.pi / 16 + y / 7) * np.cos(y / 11) + np.random.default_rng(13).normal(0, 0.01, (33, 64))
            ).astype(dtype)


def words_that_come_again():
    """Best compressed as they stand, neither shuffled nor differenced."""
    words = np.random.default_rng(4).integers(0, 2**32, 64, "u4") & 0x7F7FFFFF
    return words[np.random.default_rng(5).integers(0, 8, 100)[:, None] * 8 + np.arange(8)].view("<f4").reshape(-1)


def many_kinds_of_nan():
    a = fields.wave((30, 30), ">f4").copy()
    a.reshape(-1).view(">u4")[::2] = 0x7FC00000 + np.arange(450) % 300
    return a


def with_a_hole(a):
    a[1:4, 5:9, 2] = np.nan
    return a


def masked(shape, dtype):
    a = fields.wave(shape, dtype)
    row = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, n) for n in shape[-2:]], indexing="ij"))
    return np.where(row < 0.7, a, np.nan).astype(dtype)


def layers(dtype, levels):
    """Rows of patches that come again in no order, under noise smaller than the bound."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.integers(0, levels, (6, 20)), 5, axis=1)[rng.integers(0, 6, 64)]
    return (rows + rng.uniform(-0.01, 0.01, rows.shape)).astype(dtype)


def rough_map(dtype):
    """As rough along one axis as along the other."""
    a = np.random.default_rng(8).normal(size=(50, 60))
    return (a + sum(np.roll(a, k, axis) for axis in (0, 1) for k in (-2, -1, 1, 2))).astype(dtype)


def with_model(words, network):
    """Filter values that ask for this model."""
    return (*words, network.weights.hash >> 32, network.weights.hash & 0xFFFFFFFF)


def noise(n):
    return (np.random.default_rng(6).integers(0, 2**32, n, "u4") & 0xBFFFFFFF).view("<f4")


# What is stored, with which words, the kind that must come of it (None: whichever), and ways that it must take.
WRITTEN = {
    "raw": (noise(300), (LOSSLESS,), read_payload.RAW, ()),
    "plain": (words_that_come_again(), (LOSSLESS,), read_payload.LOSSLESS, ("lossless form 0",)),
    "shuffled": (np.random.default_rng(9).normal(1.5, 0.1, (60, 50)).astype(">f8"), (LOSSLESS,),
                 read_payload.LOSSLESS, ("lossless form 1",)),
    "differenced": (np.arange(1, 3000, dtype="<f4"), (LOSSLESS,), read_payload.LOSSLESS, ("lossless form 2",)),
    "constant": (np.full((9, 9), 2.5, ">f8"), decimal(ABS, 1, 3), read_payload.CONSTANT, ()),
    "constant and specials": (np.where(np.arange(900) % 7 == 0, np.nan, 2.5), decimal(ABS, 1, 3),
                              read_payload.CONSTANT, ("patterns",)),
    "repeats": (layers("<f4", 30), decimal(ABS, 1, 1), read_payload.REPEATS, ("domain 0",)),
    "repeats in 32 bits": (layers(">f8", 10**6), decimal(ABS, 1, 1), read_payload.REPEATS, ()),
    "line": (fields.wave((700,)), decimal(ABS, 2, 3), read_payload.WALK, ("uniform", "1 axes", "weights")),
    "tight": (fields.wave((9, 8, 7), "<f8"), ieee(ABS, 1e-7), read_payload.WALK, ("low bits",)),
    "map": (rough_map(">f4"), ieee(REL, 1e-3), read_payload.WALK, ("2 axes", "weights")),
    "many points": (fields.wave((33, 32, 34)), decimal(ABS, 5, 3), read_payload.WALK, ("4 lanes",)),
    "four axes": (fields.wave((5, 6, 7, 8), ">f8"), ieee(REL, 1e-2), read_payload.WALK, ()),
    "ratio": (10 ** fields.wave((20, 30)), ieee(RATIO, 1e-2), read_payload.WALK, ("domain 1",)),
    "ratio, float32": (10 ** fields.wave((20, 30), ">f4"), ieee(RATIO, 1e-2), read_payload.WALK, ("domain 1",)),
    "reference": (stack_of_maps(), decimal(ABS, 1, 2), read_payload.WALK, ("reference",)),
    "places": (places_of_their_own(">f4"), decimal(ABS, 2, 1), read_payload.WALK, ("reference", "places learn")),
    "globe": (round_the_globe("<f4"), decimal(ABS, 3, 2), read_payload.WALK, ("wraps",)),
    "specials": (fields.specials((30, 40)), decimal(ABS, 1, 3), read_payload.WALK, ("patterns",)),
    "literals": (many_kinds_of_nan(), decimal(ABS, 1, 1), read_payload.WALK, ("patterns", "literals")),
    "masked": (masked((20, 30), "<f4"), decimal(ABS, 1, 2), read_payload.WALK, ("patterns",)),
    "masked stack": (stack_of_maps(">f8") + masked((1, 20, 24), ">f8"), decimal(ABS, 1, 1), read_payload.WALK,
                     ("patterns", "reference")),
    "mean square": (masked((20, 30), "<f4"), ieee(NRMSE, 1e-3), read_payload.WALK, ("narrowing",)),
    "transform": (fields.wave((12, 13, 14)), ieee(NRMSE, 1e-3), read_payload.TRANSFORM, ("not corrected", "a parent")),
    "transformed line": (waves((900,), ">f4"), ieee(NRMSE, 1e-4), read_payload.TRANSFORM, ("1 stages",)),
    "transformed map": (rough_map(">f8"), ieee(PSNR, 60), read_payload.TRANSFORM, ("not corrected",)),
    "mended patches": (rough_map("<f4"), ieee(BLOCK_NRMSE, 1e-2), read_payload.TRANSFORM, ("corrected",)),
    "transform, four axes": (waves((9, 10, 11, 12), "<f8"), ieee(NRMSE, 1e-3), read_payload.TRANSFORM, ()),
    "transform, eight axes": (waves((2, 3, 1, 4, 5, 1, 7, 6)), ieee(NRMSE, 1e-3), read_payload.TRANSFORM, ()),
    "corrected": (waves((25, 26, 27)), decimal(ABS, 1, 2), read_payload.TRANSFORM, ("corrected", "a run to the end")),
    "corrected map": (waves((60, 70), ">f8"), ieee(REL, 1e-3), read_payload.TRANSFORM, ("corrected",)),
    "corrected ratio": (10 ** waves((40, 50), ">f4"), ieee(RATIO, 1e-1), read_payload.TRANSFORM,
                        ("corrected", "domain 1")),
    "corrected stack": (stack_of_maps(">f4"), decimal(ABS, 1, 1), read_payload.TRANSFORM,
                        ("corrected", "a band above")),
    "corrected specials": (with_a_hole(waves((18, 19, 20))), decimal(ABS, 1, 2),
                           read_payload.TRANSFORM, ("corrected but where skipped", "patterns")),
    "two values": (np.array([1.0, 2.0], ">f4"), decimal(ABS, 1, 1), None, ()),
    "eight axes": (fields.wave((2, 3, 1, 2, 3, 1, 4, 5), "<f8"), decimal(ABS, 1, 2), read_payload.WALK, ()),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_written_payloads(name):
    values, words, kind, ways = WRITTEN[name]
    payload = plugin.encode(values, words)
    assert kind is None or read_payload.Header(payload).kind == kind
    assert agrees(payload) >= set(ways)


EVERY_WAY = {"1 lanes", "4 lanes", "domain 0", "domain 1", "uniform", "narrowing", "32 lanes", "low bits",
             "no low bits", "weights", "reference", "places learn", "skipped places", "no skipped places", "blend",
             "wraps", "straight", "not straight", *(f"onward {k}" for k in range(3)), "patterns", "literals",
             "outliers", *(f"{k} axes" for k in (1, 2, 3)),
             *(f"nugget {k}" for k in range(4)), *(f"variogram {k}" for k in range(6)),
             *(f"size {k}" for k in range(5)), *(f"precision {k}" for k in range(5)),
             *(f"shape {k}" for k in range(3))}


@pytest.mark.parametrize("block", range(4))
def test_random_payloads_take_every_way(block):
    ways = set()
    for seed in range(50 * block, 50 * block + 50):
        agrees(random_payload.payload(seed), ways)
    assert not EVERY_WAY - ways


def larger_neighbours(shape, dtype="<f4"):
    """Random walks along the last axis; every second value is the larger one of the two beside it, to a little noise."""
    rng, n = np.random.default_rng(5), shape[-1]
    even = np.cumsum(rng.normal(0, 1, (*shape[:-1], n // 2 + 1)), axis=-1)
    a = np.empty(shape)
    a[..., ::2] = even[..., :(n + 1) // 2]
    a[..., 1::2] = np.maximum(even[..., :n // 2], even[..., 1:])
    return (a + rng.normal(0, 0.002, shape)).astype(dtype)


ASKED = {
    "line": (larger_neighbours((3000,)), ieee(ABS, 0.01), ("1 axes",)),
    "line, float64": (larger_neighbours((3000,), ">f8"), ieee(ABS, 0.01), ("1 axes",)),
    "map": (larger_neighbours((9, 300), "<f8"), ieee(REL, 1e-3), ()),
    "masked": (np.where(np.arange(3000) // 200 % 5 == 0, np.nan, 1000 * larger_neighbours((3000,))), ieee(ABS, 10),
               ("patterns", "network asked of some")),
    "ratio": (np.exp(larger_neighbours((3000,)) / 20), ieee(RATIO, 1e-3), ("domain 1",)),
    "mean square": (larger_neighbours((3000,)), ieee(NRMSE, 1e-3), ()),
    "four axes": (larger_neighbours((3, 5, 4, 60)), ieee(ABS, 0.02), ()),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_network_that_knows_the_field(name, networks):
    """It is followed, and the payload is smaller for it."""
    values, words, ways = ASKED[name]
    network = networks["knows"]
    payload = plugin.encode(values, with_model(words, network))
    h = read_payload.Header(payload)
    assert h.kind == read_payload.WALK and h.model == network.weights.hash and not h.latents
    assert agrees(payload, network=network) >= {"network asked", *ways}
    assert len(payload) < 0.97 * len(plugin.encode(values, words))


@pytest.mark.parametrize("name", ["line", "map", "masked stack", "specials", "four axes"])
def test_a_network_that_knows_nothing(name, networks):
    """It is not asked, or little, and never costs more than the name of the weights: such a payload goes out without."""
    values, words, _, _ = WRITTEN[name]
    without = plugin.encode(values, words)
    for which in ("least", "most", "some"):
        payload = plugin.encode(values, with_model(words, networks[which]))
        assert len(payload) <= len(without)
        agrees(payload, network=networks[which])


EVERY_WAY_OF_NETWORKS = {"network asked", "network not asked", "network asked of all", "network asked of some",
                         "reference and network", "places learn", "skipped places", "patterns", "narrowing", "domain 1",
                         "32 lanes", *(f"network {what} {k}" for what in ("move", "change") for k in range(8)),
                         *(f"{k} axes" for k in (1, 2, 3))}


def test_random_walks_with_a_network_take_every_way(networks):
    ways = set()
    for seed in range(2000, 2080):
        network = list(networks.values())[seed % 4]
        agrees(random_payload.payload(seed, network=network), ways, network)
    assert not EVERY_WAY_OF_NETWORKS - ways


def test_a_network_has_no_latents(networks):
    """Both readers refuse a payload that names one and holds latents."""
    network = networks["knows"]
    payload = plugin.encode(ASKED["line"][0], with_model(ASKED["line"][1], network))
    at = payload.index(struct.pack("<Q", network.weights.hash)) + 8
    assert payload[at] == 0
    damaged = random_payload.with_checksum(payload[:at] + b"\1" + payload[at + 1:])
    h = read_payload.Header(payload)
    begin = len(payload) - len(h.specials) - len(h.corrections)
    damaged = random_payload.with_checksum(damaged[:begin] + b"\0" + damaged[begin:])
    with pytest.raises(read_payload.Damaged, match="latents of a network"):
        read_payload.read_payload(damaged, network=network)
    assert library(damaged) is None


def test_damage_of_walks_with_a_network(networks, capfd):
    """Both readers refuse, or both give the same values once the hash of the values is made right too."""
    rng, same = random.Random(7), 0
    for seed in range(2200, 2230):
        network = list(networks.values())[seed % 4]
        payload = random_payload.payload(seed, network=network)
        h = read_payload.Header(payload)
        for _ in range(4):
            damaged = bytearray(payload)
            at = len(payload) - 1 - rng.randrange(min(len(h.corrections), rng.choice((30, 10**6))))
            damaged[at] ^= 1 << rng.randrange(8)
            try:
                sealed = random_payload.seal(bytes(damaged), network)
            except read_payload.Damaged:
                damaged[3:7] = read_payload.checksum(bytes(damaged))
                assert library(bytes(damaged)) is None
                continue
            agrees(sealed, network=network)
            same += 1
    assert same > 10
    capfd.readouterr()


EVERY_WAY_OF_TRANSFORMS = {
    *(f"{k} stages" for k in (1, 2, 3, 4)), *(f"fraction {k}" for k in range(7)), *(f"{k} lanes" for k in (1, 4, 32)),
    *(f"shape {k}" for k in range(3)), "domain 0", "domain 1", "patterns", "literals", "outliers", "low bits",
    "no low bits", "escapes", "a level left out", "an axis left out", "all axes", "a parent", "a sister",
    "a sister that ends before", "a band above", "a band above a root", "a run", "an empty run", "a quiet value",
    "a run to the end", "corrected", "corrected but where skipped", "not corrected"}


@pytest.mark.parametrize("block", range(2))
def test_random_transforms_take_every_way(block):
    ways = set()
    for seed in range(200 * block, 200 * block + 200):
        agrees(random_payload.payload(seed, transform=True), ways)
    assert not EVERY_WAY_OF_TRANSFORMS - ways


@pytest.mark.parametrize("name", ["plain", "constant and specials", "repeats", "ratio", "specials", "masked stack",
                                  "transform", "corrected map", "corrected stack", "corrected specials"])
def test_damage_with_a_checksum_made_right(name, capfd):
    """Both readers refuse, or both give the same values once the hash of the values is made right too."""
    values, words, _, _ = WRITTEN[name]
    payload = plugin.encode(values, words)
    h = read_payload.Header(payload)
    header = len(payload) - len(h.latents) - len(h.specials) - len(h.corrections)
    values = library(payload)
    rng = random.Random(name)
    changed = 0
    for _ in range(60):
        damaged = bytearray(payload)
        damaged[rng.randrange(header, len(damaged))] ^= 1 << rng.randrange(8)
        damaged[3:7] = read_payload.checksum(bytes(damaged))
        try:
            # A bit without meaning: of a zstd frame's header, or past the end of a bit stream.
            assert read_payload.read_payload(bytes(damaged)) == values
            assert library(bytes(damaged)) == values
            continue
        except read_payload.Damaged:
            changed += 1
        assert library(bytes(damaged)) is None, "values that the writer did not mean"
        try:
            sealed = random_payload.seal(bytes(damaged))
        except read_payload.Damaged:
            continue
        agrees(sealed)
    assert changed > 30
    capfd.readouterr()


@pytest.mark.parametrize("block", range(2))
def test_damage_of_random_transforms(block, capfd):
    """The same, where every way of the format has been taken."""
    rng = random.Random(block)
    same = 0
    for seed in range(1000 + 50 * block, 1050 + 50 * block):
        payload = random_payload.payload(seed, transform=True)
        h = read_payload.Header(payload)
        for _ in range(4):
            damaged = bytearray(payload)
            at = len(payload) - 1 - rng.randrange(min(len(h.corrections), rng.choice((30, 10**6))))
            damaged[at] ^= 1 << rng.randrange(8)
            try:
                sealed = random_payload.seal(bytes(damaged))
            except read_payload.Damaged:
                damaged[3:7] = read_payload.checksum(bytes(damaged))
                assert library(bytes(damaged)) is None
                continue
            agrees(sealed)
            same += 1
    assert same > 10
    capfd.readouterr()


def three_values(specials, corrections, kind=read_payload.WALK):
    """Three float32 under an absolute bound, with the checksum."""
    head = b"\1\2\3\1" + bytes([len(specials)]) if specials else b"\1\0\3\1"  # abs, rank 1, extent 3, bound 1
    return random_payload.with_checksum(bytes([*b"hN", 16 | kind]) + bytes(8) + head + specials + corrections)


ZEROS = b"\0\0"  # no reference, side information of zeros: three points of value 0
HALF = random_payload.short_double(0.5)


@pytest.mark.parametrize("said, specials, corrections", [
    (None, b"", b"\4" + HALF + b"\2" + ZEROS),
    ("too far off", b"", b"\4" + HALF + random_payload.zigzag(2**51 + 1) + ZEROS),
    ("too far off", b"", b"\4" + HALF + random_payload.zigzag(-2**63) + ZEROS),
    ("no unit", b"", b"\4" + bytes(3) + b"\2" + ZEROS),
    ("no unit", b"", b"\4" + random_payload.short_double(math.inf) + b"\2" + ZEROS),
    ("no unit", b"", b"\x14\0\2" + ZEROS),
    ("no unit", b"", b"\x14" + random_payload.varint(2**63) + b"\2" + ZEROS),
    ("lattice is unknown", b"", b"\5" + HALF + b"\2" + ZEROS),
    ("lattice is unknown", b"", b"\x24" + HALF + b"\2" + ZEROS),
    ("reference is unknown", b"", b"\4" + HALF + b"\2\5\0"),
    ("outside the chunk", b"\0\0\1\3" + bytes(4), b"\4" + HALF + b"\2" + ZEROS),
    ("number of literals", b"\0\1" + bytes(4) + b"\0", b"\4" + HALF + b"\2" + ZEROS),
    # A class of 2^31, one more than a number of 32 bits: ones under every model.
    ("unknown class", b"\1" + bytes(4) + b"\0\0" + b"\xff" * 12, b"\4" + HALF + b"\2" + ZEROS),
])
def test_limits(said, specials, corrections, capfd, monkeypatch):
    """What lies just past a limit is refused by both readers, for that reason and before any hash."""
    monkeypatch.setenv("H5NEURAL_VERBOSE", "1")
    payload = three_values(specials, corrections)
    if said is None:
        agrees(random_payload.seal(payload))
        return
    with pytest.raises(read_payload.Damaged, match="^(?!the hash)"):
        read_payload.read_payload(payload)
    assert library(payload) is None
    assert said in capfd.readouterr().err


def transform_of_three(fraction=0, weight=0, contexts=0, root=0, run=0, value=0, residuals=b""):
    """Corrections: one level of a root of two points and one quiet point."""
    side, number = random_payload.RandomBits(None), read_payload.Number
    for v, count in (0, 2), (1, 5), (8, 4), (fraction, 3), (1, 11), (0, 5):
        side.put_raw(v, count)
    model = number()
    for v in [weight] + 15 * [0]:
        side.put_number(model, v)
    side.put_raw(contexts, 6)
    model = number()
    for v in (root, 0):
        side.put_number(model, v)
    for v in (run, value)[:1 if run > 0 else 2]:
        side.put_number(number(), v)
    for v, count in (16, 5), (16, 5), (0, 1):
        side.put_raw(v, count)
    coded = side.finish()
    lattice = b"\4" + HALF + b"\2"
    return lattice + random_payload.varint(len(coded)) + coded + residuals


@pytest.mark.parametrize("said, change", [
    (None, {}),
    (None, {"fraction": 6}),
    ("bits after the point", {"fraction": 7}),
    (None, {"weight": 4}),
    ("weight of its coefficients", {"weight": 5}),
    ("weight of its coefficients", {"weight": -14}),
    ("too many contexts", {"contexts": 37}),
    (None, {"root": 2**30}),
    ("coefficient is out of range", {"root": 2**30 + 1}),
    ("coefficient is out of range", {"root": -2**30 - 1}),
    (None, {"run": 1}),
    ("longer than they are", {"run": 2}),
    ("no length", {"run": -1}),
    (None, {"value": 2**30 - 1}),
    ("coefficient is out of range", {"value": 2**30}),
    (None, {"value": -2**30}),
    ("coefficient is out of range", {"value": -2**30 - 1}),
    ("do not end", {"residuals": b"\0\0\0\1\1"}),  # a state that is never used up
])
def test_limits_of_transforms(said, change, capfd, monkeypatch):
    """The same of transforms."""
    monkeypatch.setenv("H5NEURAL_VERBOSE", "1")
    payload = three_values(b"", transform_of_three(**change), read_payload.TRANSFORM)
    if said is None:
        agrees(random_payload.seal(payload))
        return
    with pytest.raises(read_payload.Damaged, match="^(?!the hash)"):
        read_payload.read_payload(payload)
    assert library(payload) is None
    assert said in capfd.readouterr().err


def test_the_example_in_the_page():
    """The hexadecimal dump in docs/format.md is a payload, and decodes to the values that stand below it."""
    with open(os.path.join(ROOT, "docs", "format.md")) as f:
        example = f.read().split("## Example")[1]
    dump = "".join(re.findall(r"^    [0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)", example, re.M))
    values = np.array(re.search(r"^    \[([-0-9.na, \n]+)\]", example, re.M)[1].replace("\n", " ").split(","), "f8")
    payload = bytes.fromhex(dump)
    assert read_payload.Header(payload).kind == read_payload.WALK
    agrees(payload)
    assert library(payload) == values.astype("<f4").tobytes()
