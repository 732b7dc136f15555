"""The file of a compressed text: what a decoder needs besides the artifact, and nothing that it must trust.

    magic 6 | version u8
    artifact 8 bytes of its SHA-256 | rows 8 bytes, see ``rows_print`` in ``pgolf.proof.codec`` | CRC-32 of the text
    numbers of 7 bits a byte, least first: form, bytes of the text, tokens, lanes, the lanes' first tokens,
      how many stretches are no UTF-8 and for each the gap to the one before and its length
    those stretches | settings that replace the artifact's own, deflated JSON | the coded tokens, or the bytes
    CRC-32 of everything before it

Each of the three at the end is preceded by its length. A file that was cut or altered is refused before it is decoded;
one that somebody wrote to do harm takes no more memory or time than so many bytes may.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pgolf.core.errors import DataError
from pgolf.core.json_text import parse_json

MAGIC, VERSION = b"\x89pgtxt", 1
PRINT_BYTES = 8
MOST_BITS = 64  # of a number
MOST_SETTINGS_BYTES = 1 << 20  # inflated
# To a byte of the coded tokens; brotli keeps what costs less than a 32nd of a bit a token.
TOKENS_A_BYTE = 256
_SPARE_BYTES = 4  # of a range coder, which may leave none for a short stream
Form = Literal["coded", "brotli", "stored"]
FORMS: tuple[Form, ...] = get_args(Form)
_PRELUDE = struct.Struct(f"<6sB{PRINT_BYTES}s{PRINT_BYTES}sI")
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class CodedFile:
    """``length, checksum`` of the text; ``tokens`` of the stream, ``first_tokens`` of its lanes; ``taken``: see
    ``pgolf.proof.escape``; ``body``: the coded tokens, or the bytes where the form is not ``coded``."""

    artifact_print: bytes
    row_print: bytes
    form: Form
    length: int
    checksum: int
    body: bytes
    tokens: int = 0
    first_tokens: tuple[int, ...] = ()
    taken: tuple[tuple[int, bytes], ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plausible(self) -> bool:
        """Whether so many tokens may be in such a body; a decoder makes room for them before it reads one."""
        return self.form != "coded" or 2 <= self.tokens <= TOKENS_A_BYTE * (len(self.body) + _SPARE_BYTES)

    def to_bytes(self) -> bytes:
        numbers = [FORMS.index(self.form), self.length, self.tokens, len(self.first_tokens), *self.first_tokens]
        numbers.append(len(self.taken))
        end = 0
        for place, piece in self.taken:
            numbers += [place - end, len(piece)]
            end = place + len(piece)
        settings = zlib.compress(json.dumps(self.overrides, sort_keys=True).encode()) if self.overrides else b""
        parts = [_PRELUDE.pack(MAGIC, VERSION, self.artifact_print, self.row_print, self.checksum)]
        parts += map(_number, numbers)
        for piece in (b"".join(piece for _, piece in self.taken), settings, self.body):
            parts += [_number(len(piece)), piece]
        data = b"".join(parts)
        return data + _CHECKSUM.pack(zlib.crc32(data))


def read_coded(data: bytes) -> CodedFile:
    """Raises DataError for anything but what ``to_bytes`` gave."""
    if data[: len(MAGIC)] != MAGIC:
        raise DataError("not a text that pgolf compressed: it begins with other bytes")
    if len(data) <= len(MAGIC) or data[len(MAGIC)] != VERSION:
        found = data[len(MAGIC)] if len(data) > len(MAGIC) else "none"
        raise DataError(f"compressed in version {found} of the format; this pgolf reads version {VERSION}")
    if len(data) < _PRELUDE.size + _CHECKSUM.size or _CHECKSUM.unpack(data[-4:])[0] != zlib.crc32(data[:-4]):
        raise DataError("the compressed text is damaged or cut short: its checksum does not hold")
    try:
        return _parsed(data[:-4])
    except (IndexError, ValueError, zlib.error) as error:  # the checksum holds, so nobody's accident
        raise DataError(f"the compressed text was not written by pgolf ({error})") from error


def _parsed(data: bytes) -> CodedFile:
    _, _, artifact, rows, checksum = _PRELUDE.unpack_from(data)
    reader = _Reader(data, _PRELUDE.size)
    form, length, tokens, lanes = (reader.number() for _ in range(4))
    first_tokens = tuple(reader.number() for _ in range(reader.count(lanes)))
    gaps = [(reader.number(), reader.number()) for _ in range(reader.count(reader.number()))]
    stretches, settings, body = reader.piece(), reader.piece(), reader.piece()
    if reader.left():
        raise ValueError(f"{reader.left()} bytes too many")
    taken, place, start = [], 0, 0
    for gap, size in gaps:
        taken.append((place + gap, stretches[start : start + size]))
        place, start = place + gap + size, start + size
    if start != len(stretches):
        raise ValueError("stretches of other lengths")
    told, overrides = tuple(taken), _settings(settings) if settings else {}
    file = CodedFile(artifact, rows, FORMS[form], length, checksum, body, tokens, first_tokens, told, overrides)
    if not file.plausible:
        raise ValueError(f"{tokens:,} tokens in {len(body):,} bytes")
    return file


def _settings(packed: bytes) -> dict[str, Any]:
    """Raises ValueError, zlib.error."""
    stream = zlib.decompressobj()
    raw = stream.decompress(packed, MOST_SETTINGS_BYTES)
    if not stream.eof or stream.unused_data:
        raise ValueError(f"settings that do not end within {MOST_SETTINGS_BYTES:,} bytes, or go on after their end")
    found = parse_json(raw, "settings", DataError)
    if not isinstance(found, dict) or not all(isinstance(node, dict) for node in found.values()):
        raise ValueError("settings that are no mapping of options to their settings")
    return found


def _number(value: int) -> bytes:
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


class _Reader:
    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._place]
            self._place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift >= MOST_BITS:
                raise ValueError(f"a number of more than {MOST_BITS} bits")

    def count(self, value: int) -> int:
        """Of things that take a byte each at least."""
        if value > self.left():
            raise ValueError(f"{value} things in {self.left()} bytes")
        return value

    def piece(self) -> bytes:
        size = self.count(self.number())
        self._place += size
        return self._data[self._place - size : self._place]

    def left(self) -> int:
        return len(self._data) - self._place
