import dataclasses
import zlib

import pytest

from pgolf.core.errors import DataError
from pgolf.proof.coded_file import CodedFile, read_coded

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
