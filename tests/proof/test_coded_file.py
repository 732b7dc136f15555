import dataclasses
import zlib

import pytest

from pgolf.core.errors import DataError
from pgolf.proof import coded_file
from pgolf.proof.coded_file import TOKENS_A_BYTE, CodedFile, read_coded

FILE = CodedFile(
    artifact_print=bytes(range(8)),
    row_print=bytes(range(8, 16)),
    form="coded",
    length=123_456,
    checksum=0xDEADBEEF,
    body=bytes(range(200)),
    tokens=40_000,
    first_tokens=(1, 300, 70_000),
    taken=((0, b"\xff"), (4, b"\x80\x81"), (6, b"\xfe")),
    overrides={"eval": {"window": 64}},
)
SIMPLE = CodedFile(bytes(8), bytes(8), "stored", 0, 0, b"")


@pytest.mark.parametrize("file", [FILE, SIMPLE, dataclasses.replace(SIMPLE, form="brotli", body=b"x" * 300)])
def test_it_reads_what_it_wrote(file):
    assert read_coded(file.to_bytes()) == file


def test_it_takes_few_bytes_beside_the_body():
    plain = dataclasses.replace(FILE, taken=(), overrides={}, first_tokens=(1,))
    assert len(plain.to_bytes()) - len(plain.body) <= 48


@pytest.mark.parametrize("file", [FILE, SIMPLE])
def test_a_cut_or_altered_file_is_refused_at_every_byte(file):
    data = file.to_bytes()
    for end in range(len(data)):
        with pytest.raises(DataError):
            read_coded(data[:end])
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= 1 << (place % 8)
        with pytest.raises(DataError):
            read_coded(bytes(altered))
    with pytest.raises(DataError):
        read_coded(data + b"\0")


def test_other_files_and_other_versions_are_told_apart():
    with pytest.raises(DataError, match="begins with other bytes"):
        read_coded(b"PK\x03\x04" + bytes(100))
    other = bytearray(SIMPLE.to_bytes())
    other[6] = 9
    with pytest.raises(DataError, match="version 9"):
        read_coded(bytes(other))


@pytest.mark.parametrize("place", range(27, 40))
def test_a_file_with_a_true_checksum_over_nonsense_is_refused_or_read(place):
    """Nobody's accident: it must not end in another kind of error, nor take memory that it has no bytes for."""
    data = bytearray(FILE.to_bytes()[:-4])
    data[place] = 255
    whole = bytes(data) + zlib.crc32(bytes(data)).to_bytes(4, "little")
    try:
        read_coded(whole)
    except DataError as error:
        assert "not written by pgolf" in str(error)


def with_settings(packed):
    """``FILE`` with these bytes for its deflated settings, and a true checksum."""
    own, number = zlib.compress(b'{"eval": {"window": 64}}'), coded_file._number
    data = FILE.to_bytes()[:-4].replace(number(len(own)) + own, number(len(packed)) + packed)
    assert packed in data
    return data + zlib.crc32(data).to_bytes(4, "little")


SETTINGS = {
    "more than they may be": (b'{"a":"' + b" " * (1 << 22) + b'"}', "do not end within"),
    "a list": (b"[1]", "no mapping of options"),
    "an option that is a list": (b'{"eval": [1]}', "no mapping of options"),
    "nested": (b"[" * 100_000 + b"]" * 100_000, "levels deep"),
    "no JSON": (b"{", "not JSON"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_no_compressor_wrote_are_refused(name):
    raw, told = SETTINGS[name]
    with pytest.raises(DataError, match=told):
        read_coded(with_settings(zlib.compress(raw)))


def test_deflated_settings_are_one_whole_stream():
    packed = zlib.compress(b"{}")
    assert read_coded(with_settings(packed)).overrides == {}
    for wrong in (packed[:-1], packed + b"more"):
        with pytest.raises(DataError, match="do not end within"):
            read_coded(with_settings(wrong))


def test_a_number_without_an_end_is_refused_at_once():
    data = FILE.to_bytes()[:27] + b"\xff" * 2_000_000 + b"\0"
    with pytest.raises(DataError, match="more than 64 bits"):
        read_coded(data + zlib.crc32(data).to_bytes(4, "little"))


@pytest.mark.parametrize("tokens", [0, 1, TOKENS_A_BYTE * (len(FILE.body) + 4) + 1, 10**13])
def test_tokens_for_which_the_body_has_no_room_are_refused(tokens):
    file = dataclasses.replace(FILE, tokens=tokens)
    assert not file.plausible
    with pytest.raises(DataError, match=f"{tokens:,} tokens in 200 bytes"):
        read_coded(file.to_bytes())
