"""Bytes of single chunks: by the engine with a model, and by the peers at the same bound, every chunk read back and
compared in float64. Bounds are relative to each chunk's range: of the largest error (rel) or of the RMSE (nrmse).
"""
import hashlib
import math
import time

import numpy as np

from . import engine, peers

PEERS = ("sz3", "sperr", "zfp")
# nrmse: the way each peer is searched, as in tools/measure-l2.
_WAYS = {"sz3": "abs", "sperr": "psnr", "zfp": "abs"}
_SECONDS = 20  # for a peer and a chunk


def hash_of(path):
    """The number by which a weights file is asked for."""
    with open(path, "rb") as f:
        return int.from_bytes(hashlib.sha256(f.read()).digest()[:8], "big")


def span(chunk):
    return float(chunk.max()) - float(chunk.min())


def error_over_bound(chunk, back, mode, bound):
    """The largest error, or the RMSE, over what was asked for: above 1 the bound is broken."""
    error = back.astype("f8") - chunk
    reached = np.abs(error).max() if mode == engine.REL else np.sqrt((error**2).mean())
    limit = bound * span(chunk)
    return float(reached / limit) if limit else float(reached > 0)


def ours(lib, chunks, mode, bound, model, effort):
    """A dict of means per chunk (payload, latents, corrections, header: bytes; write_ms, read_ms: processor time), of
    `names` (how many chunks took which model), the largest `error` over the bound, and `violations`."""
    sums, names, largest, violations = np.zeros(6), {}, 0.0, 0
    for chunk in chunks:
        start = time.process_time()
        payload = lib.encode(chunk, mode, bound, model=model, effort=effort)
        written = time.process_time()
        back = np.frombuffer(lib.decode(payload, chunk.nbytes), chunk.dtype).reshape(chunk.shape)
        read = time.process_time()
        info = lib.inspect(payload)
        error = error_over_bound(chunk, back, mode, bound)
        largest, violations = max(largest, error), violations + (error > 1)
        name = (info.model_name.decode() or f"{info.model:016x}") if info.model else "none"
        names[name] = names.get(name, 0) + 1
        sums += (len(payload), info.latents_bytes, info.corrections_bytes, info.header_bytes, 1e3 * (written - start),
                 1e3 * (read - written))
    keys = ("payload", "latents", "corrections", "header", "write_ms", "read_ms")
    return dict(zip(keys, sums / len(chunks)), names=names, error=largest, violations=violations)


def _peer_chunk(chunk, codec, mode, bound):
    """Bytes of one chunk; RuntimeError where the peer breaks the bound."""
    low, high = float(chunk.min()), float(chunk.max())
    if mode == engine.NRMSE:
        return peers.search(chunk, codec, _WAYS[codec], -20 * math.log10(bound), low, high, -1e-6, 0.08)[1]
    back, stored, *_ = peers.run(chunk, codec, "abs", bound * (high - low))
    if error_over_bound(chunk, back, mode, bound) > 1:
        raise RuntimeError("broke the bound")
    return stored


def _peer_chunks(chunks, codec, mode, bound):
    return [_peer_chunk(c, codec, mode, bound) for c in chunks]


def peer(chunks, codec, mode, bound):
    """(mean bytes per chunk, "") or (None, why not)."""
    status, result = peers.isolated(_peer_chunks, chunks, codec, mode, bound, timeout=_SECONDS * len(chunks))
    return (float(np.mean(result)), "") if status == "ok" else (None, result or status)


def best_peer(chunks, mode, bound, codecs=PEERS):
    """(mean bytes per chunk, name) of the smallest peer; (inf, "none") where none serves. And {name: bytes or None}."""
    each = {codec: peer(chunks, codec, mode, bound)[0] for codec in codecs}
    size, name = min(((v, k) for k, v in each.items() if v is not None), default=(math.inf, "none"))
    return size, name, each
