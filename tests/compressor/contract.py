"""What every compressor must do. Each test file makes its ``codec`` and takes these tests over by importing them."""

import random
from contextlib import suppress

import pytest

from pgolf.core.errors import ArtifactError
from pgolf.core.results import Layout

MIB = 1 << 20


def plain(raw):
    return Layout("|u1", ((len(raw),),))


def pack(codec, raw):
    return codec.encode(raw, plain(raw))


def unpack(codec, packed, length):
    return codec.decode(packed, length, Layout("|u1", ((length,),)))


def flips(codec, samples):
    """(damaged stream, raw length): a few single-byte changes of each sample."""
    source = random.Random(1)
    for raw in samples:
        packed = pack(codec, raw)
        for _ in range(25):
            at = source.randrange(len(packed))
            yield packed[:at] + bytes([packed[at] ^ source.randrange(1, 256)]) + packed[at + 1 :], len(raw)


def test_roundtrip_is_exact(codec, samples):
    for raw in samples:
        assert unpack(codec, pack(codec, raw), len(raw)) == raw


def test_same_input_gives_same_bytes(codec, samples):
    for raw in samples:
        assert pack(codec, raw) == pack(codec, raw)


def test_structure_makes_it_smaller(codec):
    assert len(pack(codec, bytes(10_000))) < 200


def test_wrong_declared_length_is_refused(codec, samples):
    for raw in samples:
        packed = pack(codec, raw)
        for length in {len(raw) + 1, abs(len(raw) - 1), 10**12}:
            with pytest.raises(ArtifactError, match=codec.codec_id):
                unpack(codec, packed, length)


def test_truncated_and_extended_streams_are_refused(codec, samples):
    for raw in samples:
        packed = pack(codec, raw)
        cuts = {0, len(packed) // 2, len(packed) - 1}
        for damaged in [packed[:cut] for cut in cuts] + [packed + b"x", packed + packed]:
            with pytest.raises(ArtifactError, match=codec.codec_id):
                unpack(codec, damaged, len(raw))


def test_damaged_streams_never_crash(codec, samples):
    for damaged, length in flips(codec, samples):
        with suppress(ArtifactError):
            assert len(unpack(codec, damaged, length)) == length  # the container's checksum is what notices


def test_bomb_is_stopped_near_the_declared_length(codec, peak_bytes):
    packed = pack(codec, bytes(32 * MIB))
    with pytest.raises(ArtifactError, match=codec.codec_id):
        peak_bytes(lambda: unpack(codec, packed, 1000))
    assert peak_bytes.seen < 8 * MIB
