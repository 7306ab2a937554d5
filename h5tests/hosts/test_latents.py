"""h5neural export-latents and preview: what a file tells without its corrections."""
import ctypes
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import fields
from fields import ABS, ID, REL
from test_cli import PLUGIN_DIR, ROOT, h5neural, pytestmark  # noqa: F401 (a fixture and a mark)
from test_weights import WEIGHTS, renamed

sys.path.insert(0, os.path.join(ROOT, "h5tests", "format"))
from read_weights import WeightsFile  # noqa: E402

BLOCKS = os.path.join(ROOT, "weights", "swae-block5-chi.safetensors")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "in.h5"
    subprocess.run([sys.executable, os.path.join(ROOT, "h5tests", "fields", "two_puncture.py"), path, "--split", "test",
                    "--count", "4", "--variables", "U_CHI"], check=True, timeout=120)
    return path


def test_latents_are_what_the_base_is_made_of(h5neural, series, tmp_path):
    """From the exported integers, the programs of the weights file and the affine map to the field that preview shows."""
    packed = tmp_path / "packed.h5"
    h5neural("repack", "--rel", "1e-3", "--chunk", "1,32,32,32", "--weights", WEIGHTS, series, packed)
    h5neural("export-latents", f"{packed}:/U_CHI", tmp_path / "latents.h5")
    said = h5neural("preview", f"{packed}:/U_CHI", tmp_path / "preview.h5").stdout
    assert "base field in 4 chunks" in said
    weights = WeightsFile(WEIGHTS)
    with h5py.File(tmp_path / "latents.h5") as f, h5py.File(tmp_path / "preview.h5") as p, h5py.File(packed) as u:
        latents, count = f["latents"][...], int(f["latents"].attrs["latents"][0])
        assert latents.shape[:4] == f["scale"].shape == f["offset"].shape == f["has_latents"].shape == (4, 1, 1, 1)
        assert (f["has_latents"][...] == 1).all() and (p["shown"][...] == 1).all() and np.ptp(latents[..., :count]) > 0
        assert f["latents"].attrs["model"] == "swae-chunk32-chi" and list(f["latents"].attrs["chunk"]) == [1, 32, 32, 32]
        shapes = [int(np.prod(i["shape"])) for i in weights.program("coefficients")["inputs"]]
        assert shapes[0] == count and sum(shapes) == latents.shape[-1]
        for k in range(4):
            parts = np.split(latents[k].reshape(-1), np.cumsum(shapes)[:-1])
            (y,) = weights.run("field", *weights.run("coefficients", *parts))
            scale, offset = f["scale"][k].item(), f["offset"][k].item()
            base = (offset + scale * y.reshape(32, 32, 32))
            shown = p["U_CHI"][k].astype("f8")
            values = u["U_CHI"][k].astype("f8")
            # The lattice rounds the base to a fraction of the bound, and float32 once more.
            assert np.abs(base - shown).max() <= 1e-3 * np.ptp(values)
            assert np.abs(shown - values).max() < 0.2 * np.ptp(values) and np.abs(shown - values).max() > 0


def test_latents_of_blocks(h5neural, series, tmp_path):
    """Several vectors a chunk, edge chunks. The writer may decline this model; what is said then is right too."""
    packed = tmp_path / "packed.h5"
    with h5py.File(series) as f:
        a = f["U_CHI"][:2, :30, :30, :30]
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f["u"] = a
    h5neural("repack", "--rel", "3e-2", "--chunk", "1,16,16,16", "--model", BLOCKS, "--effort", "9", tmp_path / "in.h5", packed)
    used = {c["model_name"] for c in json.loads(h5neural("info", f"{packed}:/u", "--json").stdout)[0]["datasets"][0]["chunks"]}
    if "swae-block5-chi" not in used:
        done = h5neural("export-latents", f"{packed}:/u", tmp_path / "latents.h5", status=2)
        assert "no chunk has a model" in done.stderr and "--model" in done.stderr
        return
    h5neural("export-latents", f"{packed}:/u", tmp_path / "latents.h5")
    with h5py.File(tmp_path / "latents.h5") as f:
        assert f["latents"].shape[:7] == f["scale"].shape == (2, 2, 2, 2, 4, 4, 4) and f["has_latents"].shape == (2, 2, 2, 2)


def test_several_models_are_told_apart(h5neural, series, tmp_path):
    with h5py.File(series) as f:
        a = f["U_CHI"][...]
    rng = np.random.default_rng(3)
    other = renamed(tmp_path / "other.safetensors", "other")
    packed = tmp_path / "packed.h5"
    env = {"H5NEURAL_WEIGHTS_PATH": str(other)}
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("u", data=np.concatenate([a[:2], rng.standard_normal((1, 32, 32, 32)).astype("f4")]), chunks=(1, 32, 32, 32))
    h5neural("repack", "--rel", "1e-2", "--model", "other", tmp_path / "in.h5", packed, env=env)
    said = h5neural("export-latents", f"{packed}:/u", tmp_path / "latents.h5", env=env).stdout
    assert "1 chunks have none" in said
    with h5py.File(tmp_path / "latents.h5") as f:
        assert f["has_latents"][...].reshape(-1).tolist() == [1, 1, 0] and not f["latents"][2].any()
    # A chunk of another model in the same dataset, put there as it stands.
    h5neural("repack", "--rel", "1e-2", "--model", "swae-chunk32-chi", tmp_path / "in.h5", tmp_path / "second.h5")
    with h5py.File(tmp_path / "second.h5") as s, h5py.File(packed, "r+") as f:
        f["u"].id.write_direct_chunk((1, 0, 0, 0), s["u"].id.read_direct_chunk((1, 0, 0, 0))[1])
    done = h5neural("export-latents", f"{packed}:/u", tmp_path / "x.h5", status=2, env=env)
    assert "several models" in done.stderr and "other" in done.stderr and "swae-chunk32-chi" in done.stderr
    h5neural("export-latents", "--model", "other", f"{packed}:/u", tmp_path / "latents.h5", env=env)
    with h5py.File(tmp_path / "latents.h5") as f:
        assert f["has_latents"][...].reshape(-1).tolist() == [1, 0, 0]
    # Without the weights nothing can be told apart.
    assert "needs the weights" in h5neural("export-latents", f"{packed}:/u", tmp_path / "x.h5", status=2).stderr
    assert not (tmp_path / "x.h5").exists()


def test_preview_without_a_model(h5neural, tmp_path):
    """Coarse levels and interpolation; specials where they belong; edge chunks; both types and orders."""
    for dtype in ("<f4", ">f8"):
        source, out = tmp_path / "in.h5", tmp_path / "out.h5"
        shape = (50, 60, 70)
        axes = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij", sparse=True)
        a = np.sin(sum((k + 1.3) * x for k, x in enumerate(axes))).astype(dtype)
        a[3:6, 7, :9], a[40, 50, 60] = -9999, np.nan
        with h5py.File(source, "w") as f:
            f.create_dataset("g/u", data=a, chunks=(32, 32, 64), compression=ID, compression_opts=(REL, 1, 3), fillvalue=-9999)
        said = h5neural("preview", f"{source}:/g/u", out).stdout
        with h5py.File(out) as f:
            b = f["u"][...]
            assert f["u"].dtype == np.dtype(dtype) and f["shown"].shape == (2, 2, 2) and f["u"].fillvalue == -9999
            shown = f["shown"][...]
        assert (shown == 2).any() and "coarse levels" in said and "no base" in said
        special = np.isnan(a) | (a == -9999)
        assert (np.isnan(b) == np.isnan(a)).all() and ((b == -9999) == (a == -9999)).all()
        error = np.abs(a.astype("f8") - b)[~special]
        assert 0 < error.mean() < 0.05


def test_preview_of_everything_else(h5neural, tmp_path):
    """Maps about a reference; exact kinds as they are; chunks that are not stored, or stored raw."""
    rng = np.random.default_rng(2)
    pattern = np.cumsum(np.cumsum(rng.standard_normal((64, 64)), 0), 1)
    pattern /= pattern.std()
    maps = (pattern + 0.02 * rng.standard_normal((24, 64, 64))).astype("f4")
    with h5py.File(tmp_path / "in.h5", "w") as f:
        f.create_dataset("maps", data=maps, chunks=maps.shape, compression=ID, compression_opts=(REL, 1, 3))
        f.create_dataset("exact", data=maps, chunks=(8, 64, 64), compression=ID, compression_opts=(0,))
        d = f.create_dataset("part", (40, 64, 64), "f4", chunks=(8, 64, 64), compression=ID, compression_opts=(ABS, 1, 3), fillvalue=5)
        d[8:16] = maps[:8]
        raw = fields.wave((8, 64, 64))
        d.id.write_direct_chunk((16, 0, 0), raw.tobytes(), 1)
    for name, expected in (("maps", [2]), ("exact", [0, 0, 0]), ("part", [4, 2, 3, 4, 4])):
        h5neural("preview", f"{tmp_path / 'in.h5'}:/{name}", tmp_path / "out.h5")
        with h5py.File(tmp_path / "out.h5") as f:
            assert f["shown"][...].reshape(-1).tolist() == expected, name
            if name == "exact":
                assert f[name][...].tobytes() == maps.tobytes()
            elif name == "maps":
                # What persists is in the coarse levels whole.
                assert np.abs(f[name][...] - maps).mean() < 0.05
            else:
                assert f[name][16:24].tobytes() == raw.tobytes() and (f[name][:8] == 5).all() and (f[name][24:] == 5).all()


def test_refusals(h5neural, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["plain"] = fields.wave((20, 30))
        f.create_dataset("u", data=fields.wave((20, 30)), chunks=(20, 30), compression=ID, compression_opts=(ABS, 1, 3))
    a, out = tmp_path / "a.h5", tmp_path / "out.h5"
    for command in ("export-latents", "preview"):
        for arguments, says in [([a, out], "which dataset"), ([f"{a}:/plain", out], "not compressed"), ([f"{a}:/no", out], "no dataset"),
                                ([tmp_path / "none.h5", out], "which dataset"), ([f"{tmp_path / 'none.h5'}:/u", out], "no such file"),
                                ([f"{a}:/u", a], "same file")]:
            if command == "export-latents" and says == "same file":
                continue  # it has no latents, which is said first
            assert says in h5neural(command, *arguments, status=2).stderr
    with h5py.File(a, "r+") as f:
        payload = bytearray(f["u"].id.read_direct_chunk((0, 0))[1])
        payload[len(payload) // 2] ^= 8
        f["u"].id.write_direct_chunk((0, 0), bytes(payload))
    for command in ("export-latents", "preview"):
        done = h5neural(command, f"{a}:/u", out, status=2)
        assert "[0, 0]" in done.stderr and "checksum" in done.stderr
    assert os.listdir(tmp_path) == ["a.h5"]
