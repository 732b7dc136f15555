import random
import subprocess
import sys

import pytest

from pgolf.bundle.payload import ALPHABET, PART, from_base_121, from_base_252, from_latin_1, in_base_121, in_base_252
from pgolf.bundle.script import _BASE_252

SAMPLES = [
    bytes(range(256)) * 3,
    b"",
    b"'",
    b"'''",
    b"''''''''",
    b"ends in a backslash\\",
    b"\\'" * 5,
    b"".join(bytes([0, code]) for code in range(256)),
    b"\0" + b"7" + b"\0\0" + b"\r\n\r\n\n\r",
    b"\r",
    b"\\x41\\n\\N{BULLET}\\u0041",
    random.Random(0).randbytes(50_000),
]


@pytest.mark.parametrize("data", SAMPLES, ids=range(len(SAMPLES)))
def test_a_file_with_the_literal_in_it_has_the_bytes(data, tmp_path):
    literal = in_base_252(data)
    assert from_base_252(literal) == data
    script = tmp_path / "script.py"
    text = f"# coding:latin-1\n{_BASE_252 % literal}import sys\nsys.stdout.buffer.write(D)\n"
    script.write_bytes(text.encode("latin-1"))
    assert subprocess.run([sys.executable, "-I", script], capture_output=True, check=True).stdout == data


def test_the_literal_takes_three_thousandths_more_than_random_bytes():
    data = random.Random(1).randbytes(1 << 18)
    assert len(in_base_252(data)) < 1.0031 * len(data)


def test_the_largest_part_has_room_for_every_number():
    assert 252 ** (PART + 1) > 256**PART and 252 ** (PART + 2) < 256 ** (PART + 1)
    assert from_base_252(in_base_252(b"\xff" * 1000)) == b"\xff" * 1000


def test_the_form_of_older_scripts_is_read():
    assert from_latin_1(r"'''\0a\r\\\''''") == b"\0a\r\\'"


def test_base_121_is_a_number_in_plain_characters():
    data = bytes(range(1, 256)) * 40
    text = in_base_121(data)
    assert set(text) <= set(ALPHABET) and len(ALPHABET) == 121
    assert from_base_121(text, len(data)) == data
    assert len(text) < 1.157 * len(data) + 2


@pytest.mark.parametrize("data", [b"\0\0\1", b"\0" * 9, b"", b"\xff" * 4000])
def test_base_121_keeps_zeros_in_front(data):
    assert from_base_121(in_base_121(data), len(data)) == data
