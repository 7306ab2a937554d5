"""A damaged chunk is an error that names the checksum; never wrong values, a crash or a hang."""
import os

import h5py
import numpy as np
import pytest

import fields
import plugin
from fields import ABS, ID, LOSSLESS, RATIO, REL, decimal, ieee

SMALL = [(words, dtype, shape)
         for words in (decimal(ABS, 1, 2), ieee(REL, 1e-2), ieee(RATIO, 1e-1), (LOSSLESS,), decimal(ABS, 100, 0))
         for dtype, shape in (("<f4", (4, 4, 4)), (">f4", (30,)), ("<f8", (3, 5)), (">f8", (2, 2, 2, 2)))]


@pytest.mark.parametrize("words, dtype, shape", SMALL)
def test_every_bit_of_a_small_payload(words, dtype, shape, capfd, monkeypatch):
    """All bits of 20 payloads, through the filter's own function (a thousand times faster than through a file)."""
    monkeypatch.setenv("H5NEURAL_VERBOSE", "1")
    values = fields.wave(shape, dtype)
    payload = plugin.encode(values, words)
    fields.check(values, plugin.decode(payload, values, words), *bound_of(words))
    capfd.readouterr()
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        assert plugin.decode(bytes(damaged), values, words) is None, f"bit {bit} of {8 * len(payload)} went unnoticed"
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 8 * len(payload)
    assert not [line for line in said if "checksum" not in line]


def bound_of(words):
    mode = words[0] & 0xFF
    if mode == LOSSLESS:
        return mode, 0
    ieee_words = words[0] & 0x100
    return mode, float(np.array(words[1:3], "<u4").view("<f8")[0]) if ieee_words else words[1] * 10.0 ** -words[2]


def test_truncated_extended_and_foreign_payloads(capfd):
    values = fields.wave((6, 7))
    payload = plugin.encode(values, decimal(ABS, 1, 2))
    for n in range(len(payload)):
        assert plugin.decode(payload[:n], values) is None, f"the first {n} bytes of {len(payload)} were decoded"
    assert plugin.decode(payload + b"\0", values) is None
    rng = np.random.default_rng(5)
    for n in (1, 7, 16, 63, 64, 65, 1000):
        for start in (b"", payload[:4], payload[:16]):
            assert plugin.decode((start + rng.bytes(n))[:n], values) is None
    capfd.readouterr()


def test_a_flipped_bit_in_a_file(tmp_path):
    """Through h5py: the error of the read is a sentence that names the checksum, the chunks beside it still read."""
    path = tmp_path / "a.h5"
    values = fields.wave((20, 30))
    with h5py.File(path, "w") as f:
        f.create_dataset("u", data=values, chunks=(10, 30), compression=ID, compression_opts=decimal(ABS, 1, 2))
    with h5py.File(path) as f:
        good, payload = f["u"][...], f["u"].id.read_direct_chunk((0, 0))[1]
    for byte in np.linspace(0, len(payload) - 1, 40).astype(int):
        damaged = bytearray(payload)
        damaged[byte] ^= 1 << int(byte) % 8
        with h5py.File(path, "r+") as f:
            f["u"].id.write_direct_chunk((0, 0), bytes(damaged))
        with h5py.File(path) as f:
            with pytest.raises(OSError, match="h5neural: .*checksum"):
                f["u"][...]
            assert (f["u"][10:] == good[10:]).all()
    with h5py.File(path, "r+") as f:
        f["u"].id.write_direct_chunk((0, 0), payload)
        assert (f["u"][...] == good).all()


def test_a_flipped_bit_names_the_checksum_in_every_library(hdf5, tmp_path):
    from hdf5_library import Hdf5Error
    path = tmp_path / "a.h5"
    values = fields.wave((20, 30))
    with h5py.File(path, "w") as f:
        d = f.create_dataset("u", data=values, chunks=(20, 30), compression=ID, compression_opts=decimal(ABS, 1, 2))
        f.flush()
        payload = bytearray(d.id.read_direct_chunk((0, 0))[1])
        payload[-1] ^= 1
        d.id.write_direct_chunk((0, 0), bytes(payload))
    file = hdf5.open_file(path)
    with pytest.raises(Hdf5Error) as refusal:
        hdf5.read(file, "u", values.shape, "<f4")
    hdf5.close_file(file)
    assert "checksum" in refusal.value.sentences[0]


def test_a_chunk_of_another_dataset(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        a, b = (f.create_dataset(name, data=fields.wave(shape), chunks=shape, compression=ID,
                                 compression_opts=(1, 1, 3))
                for name, shape in (("a", (10, 10)), ("b", (10, 11))))
        f.flush()
        b.id.write_direct_chunk((0, 0), a.id.read_direct_chunk((0, 0))[1])
    with h5py.File(path) as f, pytest.raises(OSError, match="belongs to another dataset"):
        f["b"][...]


def test_calls_with_values_that_are_no_schema_of_ours(capfd):
    """What libhdf5 hands over comes from the file: wrong words and lengths are errors, and the buffer stays."""
    values = fields.wave((6, 7))
    good = plugin.stored_words(values, (1, 1, 3))
    data = values.tobytes()
    assert plugin.call(data, good) is not None
    assert plugin.call(data, good, spare=1000) == plugin.call(data, good), "the length is nbytes, not the buffer's size"
    for words in ((), good[:3], good[:6], good[:8], (*good[:7], 6, 8), (*good[:7], 0, 7),
                  (*good[:6], good[6] + 1, 6, 7), (*good[:7], 2**32 - 1, 2**32 - 1), (1, 0, 3, *good[3:])):
        assert plugin.call(data, words) is None
    assert plugin.call(data[:-4], good) is None
    assert plugin.call(b"", good) is None
    payload = plugin.call(data, good)
    assert plugin.call(payload, (), plugin.REVERSE) is not None, "a payload says all that reading needs"
    assert plugin.call(payload, plugin.stored_words(fields.wave((6, 8))), plugin.REVERSE) is None
    said = capfd.readouterr().err
    assert said.count("h5neural: ") >= 12 and os.path.basename(__file__) not in said
