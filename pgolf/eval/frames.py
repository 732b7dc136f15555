"""Messages over a pipe: a JSON header and a block of raw numbers, both length-prefixed.

Layout: ``<II`` header bytes and payload bytes, the header, the payload.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

_LENGTHS = struct.Struct("<II")


def send(stream: IO[bytes], header: Mapping[str, Any], payload: bytes = b"") -> None:
    encoded = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(encoded), len(payload)) + encoded + payload)
    stream.flush()


def receive(stream: IO[bytes], most: tuple[int, int] | None = None) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError where the other side is gone, ValueError for one of more header or payload
    bytes than ``most``; None: nobody minds."""
    header_bytes, payload_bytes = sizes = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if most is not None and (header_bytes > most[0] or payload_bytes > most[1]):
        raise ValueError(f"a message of {sizes} bytes; {most} are the most")
    header = json.loads(_exactly(stream, header_bytes))
    return header, _exactly(stream, payload_bytes)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if data is None or len(data) != size:
        raise EOFError("the other process ended")
    return data
