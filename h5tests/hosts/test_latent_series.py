"""Payloads of models that code series as latents, in every mode that has a base: the bound is kept, and the model is used
exactly where it makes them smaller."""
import os
import sys

import numpy as np
import pytest

import fields
import plugin
from fields import ABS, BLOCK_NRMSE, NRMSE, PSNR, REL

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEEDS = os.path.join(ROOT, "h5tests", "fuzz", "seeds", "weights")
sys.path[:0] = [os.path.join(ROOT, "h5tests", "golden"), os.path.join(ROOT, "h5tests", "format")]
import make_golden  # noqa: E402
import read_payload  # noqa: E402

NONE = 2**64 - 1
SERIES = {"vae": "drawn", "contextual": "displaced", "dcae": "changed", "diffusion": "thirds"}
BOUNDS = ((ABS, 0.05), (REL, 1e-2), (NRMSE, 1e-2), (PSNR, 40), (BLOCK_NRMSE, 1e-2), (BLOCK_NRMSE, 1e-3))


def write(values, mode, bound, model):
    return plugin.encode(values, (*fields.ieee(mode, bound), model >> 32, model & 0xFFFFFFFF, 5))


@pytest.mark.parametrize("dtype", ("<f4", ">f8"))
@pytest.mark.parametrize("family", SERIES)
def test_every_mode(family, dtype, monkeypatch):
    monkeypatch.setenv("H5NEURAL_WEIGHTS_PATH", SEEDS)
    values, model, used = make_golden.series(SERIES[family]).astype(dtype), make_golden.hash_of(family), []
    for mode, bound in BOUNDS:
        payload, none = write(values, mode, bound, model), write(values, mode, bound, NONE)
        fields.check(values, plugin.decode(payload, values), mode, bound)
        used.append(read_payload.Header(payload).model == model)
        assert len(payload) < len(none) if used[-1] else len(payload) == len(none)
    assert any(used)


def test_what_knows_nothing_costs_nothing(monkeypatch):
    monkeypatch.setenv("H5NEURAL_WEIGHTS_PATH", SEEDS)
    values = np.cumsum(np.random.default_rng(4).normal(size=(6, 24, 32)), axis=0).astype("f4")
    values = values + fields.wave(values.shape)
    for family in SERIES:
        model = make_golden.hash_of(family)
        assert len(write(values, ABS, 0.3, model)) <= len(write(values, ABS, 0.3, NONE))
