"""The two ways in which a script holds its compressed bytes as a string of Python source.

``latin_1``: a file whose first line names that encoding holds each byte as one character. Only four cannot stand as
they are: NUL, CR (Python reads it as LF), backslash, and the closing quotes; about 1.2 % more than the bytes.

``base_121``: one large number in the characters of one byte that an ASCII source can hold as they are (no NUL, line
ends, quote, backslash, nor two that terminals act on): 15.6 % more, where base 85 takes 25 %. It passes through what
takes text for UTF-8.
"""

from __future__ import annotations

import ast
import re

ALPHABET = "".join(chr(code) for code in range(1, 128) if chr(code) not in "\n\r\x1a\x1b'\\")


def in_latin_1(data: bytes) -> str:
    """``data`` as a literal in triple quotes, for a file that is read as Latin-1."""
    text = data.decode("latin-1").replace("\\", "\\\\").replace("\r", "\\r")
    text = re.sub(r"\0(?=[0-7])", r"\\000", text).replace("\0", "\\0")  # a digit behind would be read along
    # So that never three quotes stand together, nor one before the closing ones.
    text = re.sub(r"'(?=''|\Z)", r"\\'", text)
    return f"'''{text}'''"


def from_latin_1(literal: str) -> bytes:
    """What ``in_latin_1`` was given. Raises ValueError, SyntaxError for what it did not write."""
    return str(ast.literal_eval(literal)).encode("latin-1")


def in_base_121(data: bytes) -> str:
    """``data`` as a string over ALPHABET: its digits as one big-endian number."""
    return _digits(int.from_bytes(data, "big"))


def from_base_121(text: str, length: int) -> bytes:
    """The ``length`` bytes that ``in_base_121`` was given. Raises ValueError, OverflowError for what it did not
    write."""
    number = 0
    for character in text:
        number = number * len(ALPHABET) + ALPHABET.index(character)
    return number.to_bytes(length, "big")


def _digits(number: int, width: int = 0) -> str:
    """Digits of ``number``, at least ``width`` of them; halved as long as it is large, which long division likes."""
    if number.bit_length() > 1024:
        low = number.bit_length() // 14
        high, rest = divmod(number, len(ALPHABET) ** low)
        return _digits(high, width - low) + _digits(rest, low)
    digits = []
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(width, ALPHABET[0])
