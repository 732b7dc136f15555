"""DEFLATE: Lempel-Ziv matching and Huffman codes, in every Python.

Formula: whole bits per symbol, window 32 KiB.
Source: RFC 1950; level 9 is the challenge baseline's compressor.
Cost in bytes: on int6 weights 3 to 5 % above their order-0 entropy, because matching finds nothing but
    still costs codes.
Cost in step time: none; packing takes about 0.03 s per million weights.
When it hurts: whenever brotli or zstd can be imported.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pgolf.compressor.base import BaseCompressor
from pgolf.compressor.bounded import STEP_BYTES, corrupt, gather
from pgolf.core.ranges import Between
from pgolf.core.results import Layout


class Zlib(BaseCompressor):
    """``compressor=zlib``."""

    codec_id = "zlib"
    beyond_law: ClassVar[Mapping[str, float]] = {"matrix": 0.5, "embedding": 0.08}

    def __init__(self, *, level: Annotated[int, Between(0, 9)]) -> None:
        self.level = level

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        return zlib.compress(raw, self.level)

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes:
        """Raises ArtifactError for a corrupt stream or one that is not ``raw_length`` bytes long."""
        return decode(packed, raw_length, layout)


def decode(packed: bytes, raw_length: int, layout: Layout) -> bytes:
    """The decoder of codec ``zlib``; see ``Zlib.decode``."""
    return gather(Zlib.codec_id, _pieces(packed), raw_length)


def _pieces(packed: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj()
    try:
        while not stream.eof:
            piece = stream.decompress(packed, STEP_BYTES)
            if not piece and not stream.eof:
                raise corrupt(Zlib.codec_id, "it ends early")
            packed = stream.unconsumed_tail
            yield piece
    except zlib.error as error:
        raise corrupt(Zlib.codec_id, error) from error
    if stream.unused_data:
        raise corrupt(Zlib.codec_id, "bytes follow its end")
