"""The two ways in which a script holds its compressed bytes as a string of Python source.

``base_252``: a file whose first line names Latin-1 holds each byte as one character. Only four cannot stand as they
are: NUL, CR (Python reads it as LF), the quote and the backslash. So up to 351 bytes are one number in the other 252,
with one character more: 0.3 %, where an escape for each of the four takes 1.2 %.

``base_121``: one large number in the characters of one byte that an ASCII source can hold as they are (no NUL, line
ends, quote, backslash, nor two that terminals act on): 15.6 % more, where base 85 takes 25 %. It passes through what
takes text for UTF-8.
"""

from __future__ import annotations

import ast

CHARACTERS = "".join(map(chr, sorted(set(range(256)) - set(b"\0\r'\\"))))
PART = 351  # bytes: the most for which one character more is room enough
ALPHABET = "".join(chr(code) for code in range(1, 128) if chr(code) not in "\n\r\x1a\x1b'\\")


def in_base_252(data: bytes) -> str:
    """``data`` as a literal in triple quotes, for a file that is read as Latin-1."""
    parts = (data[start : start + PART] for start in range(0, len(data), PART))
    return f"'''{''.join(map(_in_252, parts))}'''"


def from_base_252(literal: str) -> bytes:
    """What ``in_base_252`` was given. Raises ValueError, OverflowError for what it did not write."""
    text = literal[3:-3]
    return b"".join(_from_252(text[start : start + PART + 1]) for start in range(0, len(text), PART + 1))


def _in_252(part: bytes) -> str:
    number, digits = int.from_bytes(part, "big"), []
    for _ in range(len(part) + 1):
        number, digit = divmod(number, len(CHARACTERS))
        digits.append(CHARACTERS[digit])
    return "".join(reversed(digits))


def _from_252(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * len(CHARACTERS) + CHARACTERS.index(character)
    return number.to_bytes(len(text) - 1, "big")


def from_latin_1(literal: str) -> bytes:
    """The bytes of a literal of one character a byte, with escapes, as scripts before this form have it. Raises
    ValueError, SyntaxError for what is none."""
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
