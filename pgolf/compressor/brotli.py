"""Brotli: Lempel-Ziv matching, block-wise Huffman codes chosen by second-order context.

Formula: whole bits per symbol, but many codes with cheap switches between them; window 2^lgwin - 16.
Source: RFC 7932, through the package brotli; quality 11 in PRs #1204, #1394, #1855.
Cost in bytes: on int6 weights 0.4 to 1 % above their order-0 entropy, below it when rows or columns differ
    in spread.
Cost in step time: none; packing takes 0.9 (int6) to 1.9 s (int8) per million weights at quality 11, 0.01 s at quality
5.
When it hurts: never in bytes; in tests use quality 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

import brotli

from pgolf.compressor.base import BaseCompressor
from pgolf.compressor.bounded import STEP_BYTES, corrupt, gather
from pgolf.core.ranges import Between
from pgolf.core.results import Layout


class Brotli(BaseCompressor):
    """``compressor=brotli``."""

    codec_id = "brotli"
    beyond_law: ClassVar[Mapping[str, float]] = {"matrix": 0.055, "embedding": -0.14}

    def __init__(self, *, quality: Annotated[int, Between(0, 11)], lgwin: Annotated[int, Between(10, 24)]) -> None:
        self.quality = quality
        self.lgwin = lgwin

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        return brotli.compress(raw, quality=self.quality, lgwin=self.lgwin)

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes:
        """Raises ArtifactError for a corrupt stream or one that is not ``raw_length`` bytes long."""
        return decode(packed, raw_length, layout)


def decode(packed: bytes, raw_length: int, layout: Layout) -> bytes:
    """The decoder of codec ``brotli``; see ``Brotli.decode``."""
    return gather(Brotli.codec_id, _pieces(packed), raw_length)


def _pieces(packed: bytes) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    try:
        while not stream.is_finished():
            piece = stream.process(packed, output_buffer_limit=STEP_BYTES)
            if not piece and not stream.is_finished() and stream.can_accept_more_data():
                raise corrupt(Brotli.codec_id, "it ends early")
            packed = b""
            yield piece
    except brotli.error as error:  # bytes after the end are refused here too
        raise corrupt(Brotli.codec_id, error) from error
