"""Bytes as text and what is no text: every file is a UTF-8 text with some bytes taken out of it.

Source: how Python itself carries foreign bytes through text (PEP 383). Cost: three bytes or so for each stretch that is
no UTF-8, besides its bytes; nothing for a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pgolf.core.errors import DataError

_FIRST, _LAST = "\udc80", "\udcff"  # what surrogateescape makes of bytes that are no UTF-8


def take_out(data: bytes) -> tuple[str, list[tuple[int, bytes]]]:
    """(the text, [(where in ``data`` it lay, what was taken out)])."""
    mixed = data.decode("utf-8", "surrogateescape")
    text: list[str] = []
    taken: list[tuple[int, bytes]] = []
    place = 0
    for foreign, letters in groupby(mixed, lambda letter: _FIRST <= letter <= _LAST):
        stretch = "".join(letters)
        piece = stretch.encode("utf-8", "surrogateescape")
        if foreign:
            taken.append((place, piece))
        else:
            text.append(stretch)
        place += len(piece)
    return "".join(text), taken


def put_back(text: str, taken: Sequence[tuple[int, bytes]]) -> bytes:
    """The inverse of ``take_out``. Raises DataError for places that the text does not have."""
    rest, done = memoryview(text.encode()), 0
    parts: list[bytes | memoryview] = []
    for place, piece in taken:
        size = place - done
        if not 0 <= size <= len(rest):
            raise DataError(f"the stream says that bytes were taken out at {place:,}, where nothing is")
        parts += [rest[:size], piece]
        rest, done = rest[size:], place + len(piece)
    return b"".join([*parts, rest])
