from contextlib import suppress

import pytest

from pgolf.compressor.zlib import Zlib
from pgolf.core.errors import ArtifactError

MIB = 1 << 20


@pytest.fixture
def codec():
    return Zlib(level=9)


def test_roundtrip_is_exact(codec, samples):
    for raw in samples:
        assert codec.decode(codec.encode(raw), len(raw)) == raw


def test_same_input_gives_same_bytes(codec, samples):
    for raw in samples:
        assert codec.encode(raw) == codec.encode(raw)


def test_structure_makes_it_smaller(codec):
    assert len(codec.encode(bytes(10_000))) < 200


def test_wrong_declared_length_is_refused(codec, samples):
    for raw in samples:
        packed = codec.encode(raw)
        for length in {len(raw) + 1, abs(len(raw) - 1), 10**12}:
            with pytest.raises(ArtifactError, match="zlib"):
                codec.decode(packed, length)


def test_truncated_and_extended_streams_are_refused(codec, samples):
    for raw in samples:
        packed = codec.encode(raw)
        cuts = {0, len(packed) // 2, len(packed) - 1}
        for damaged in [packed[:cut] for cut in cuts] + [packed + b"x", packed + packed]:
            with pytest.raises(ArtifactError, match="zlib"):
                codec.decode(damaged, len(raw))


def test_damaged_streams_never_crash(codec, samples, flips):
    for damaged, length in flips(codec, samples):
        with suppress(ArtifactError):
            assert len(codec.decode(damaged, length)) == length  # the container's checksum is what notices


def test_bomb_is_stopped_near_the_declared_length(codec, peak_bytes):
    packed = codec.encode(bytes(32 * MIB))
    with pytest.raises(ArtifactError, match="zlib"):
        peak_bytes(lambda: codec.decode(packed, 1000))
    assert peak_bytes.seen < 8 * MIB
