"""The options as numbers: what Neural packs is what the filter's own reader, in C, understands."""
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import h5neural
from h5neural import Neural, _words


@pytest.mark.parametrize("given, words", [
    (dict(), (0,)),
    (dict(lossless=True), (0,)),
    (dict(abs=1e-3), (1, 1, 3)),
    (dict(abs=25e-5), (1, 25, 5)),
    (dict(abs=1), (1, 1, 0)),
    (dict(abs=5e6), (1, 5000000, 0)),
    (dict(rel=1e-3, effort=7), (2, 1, 3, 0, 0, 7)),
    (dict(ratio=0.5), (3, 5, 1)),
    (dict(psnr=60), (4, 60, 0)),
    (dict(nrmse=1e-320), (5, 1, 320)),
    (dict(block_nrmse=2e-3), (6, 2, 3)),
    (dict(abs=2.5, model="none"), (1, 25, 1, 2**32 - 1, 2**32 - 1)),
    (dict(lossless=True, effort=0), (0, 0, 0, 0, 0, 0)),
    (dict(abs=1e-3, model="0123456789abcdef" * 4), (1, 1, 3, 0x01234567, 0x89ABCDEF)),
])
def test_words(given, words):
    assert Neural(**given).filter_options == words


def test_bound_that_is_no_short_decimal_travels_as_a_double():
    bound = 1 / 3
    words = Neural(abs=bound).filter_options
    assert words[0] == 0x101
    assert np.array(words[1:3], "<u4").view("<f8")[0] == bound


def test_every_bound_comes_back():
    rng = np.random.default_rng(5)
    bounds = [*rng.integers(1, 2**52, 500).astype("u8").tolist(), *(10.0 ** rng.uniform(-300, 300, 2000)).tolist(),
              *(round(m * 10.0**-p, p) for m, p in zip(rng.integers(1, 999, 500).tolist(), [1, 2, 3, 4, 5] * 100))]
    for bound in bounds:
        if bound:
            neural = Neural.from_options(Neural(rel=bound).filter_options)
            assert (neural.mode, neural.bound) == ("rel", bound)


@pytest.mark.parametrize("given", [
    dict(abs=0), dict(abs=-1e-3), dict(abs=float("nan")), dict(abs=float("inf")), dict(ratio=1), dict(ratio=2),
    dict(abs=1e-3, rel=1e-3), dict(abs=1e-3, lossless=True), dict(effort=10), dict(effort=-1), dict(effort=2.5),
    dict(model="no such weights"), dict(model="0123"), dict(model=-1),
])
def test_refused_with_a_sentence(given):
    with pytest.raises(ValueError, match="h5neural: "):
        Neural(**given)


def test_model_from_a_file(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    digits = hashlib.sha256(b"weights").hexdigest()[:16]
    assert Neural(abs=1, model=path).get_config()["model"] == digits
    assert Neural(abs=1, model=path).filter_options == Neural(abs=1, model=digits).filter_options


def test_model_by_name(tmp_path, monkeypatch):
    weights = Path(__file__).resolve().parents[3] / "weights" / "swae-chunk32-chi.safetensors"
    digits = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    monkeypatch.setenv("H5NEURAL_WEIGHTS_PATH", str(weights))
    assert Neural(abs=1, model="swae-chunk32-chi").filter_options == Neural(abs=1, model=digits).filter_options
    with pytest.raises(ValueError, match="swae-chunk32-chi.*weights list"):
        Neural(abs=1, model="no-such-weights")


def test_config_and_repr():
    neural = Neural(rel=1e-4, effort=8, model="none")
    assert neural.get_config() == dict(mode="rel", bound=1e-4, effort=8, model="none")
    assert eval(repr(neural)).filter_options == neural.filter_options
    assert repr(Neural()) == "Neural(lossless=True)"


@pytest.mark.parametrize("words", [(9, 1, 3), (0x201, 1, 3), (1,), (1, 0, 3), (1 | 0x100, 0, 0x7FF00000)])
def test_values_that_no_writer_leaves(words):
    with pytest.raises(ValueError, match="h5neural: "):
        Neural.from_options(words)


@pytest.mark.skipif(shutil.which("h5neural") is None, reason="no h5neural program on the PATH")
@pytest.mark.parametrize("name, bound", [("abs", 1e-3), ("rel", 1 / 3), ("psnr", 61.5), ("abs", 1e300), ("nrmse", 3e-320),
                                         ("block_nrmse", 1e-3)])
def test_same_words_as_the_command_line(name, bound):
    import json
    out = subprocess.run(["h5neural", "flags", f"--{name.replace('_', '-')}", repr(bound), "--json"], capture_output=True, check=True)
    assert tuple(json.loads(out.stdout)["cd_values"]) == Neural(**{name: bound}).filter_options


def test_filter_id_is_the_headers():
    import re
    from pathlib import Path
    header = Path(__file__).resolve().parents[3] / "filter" / "filter_id.h"
    assert int(re.search(r"H5NEURAL_FILTER_ID (\d+)", header.read_text())[1]) == h5neural.FILTER_ID == _words.FILTER_ID
    assert sys.modules["h5neural"].Neural.filter_id == h5neural.FILTER_ID
