"""Zstandard: Lempel-Ziv matching with Huffman and finite-state entropy codes.

Formula: literals by Huffman (whole bits), matches by FSE (fractions of a bit); window up to 128 MiB.
Source: RFC 8878, through the package zstandard; level 22 in PRs #414, #606, #687.
Cost in bytes: on int6 weights 0.5 to 1 % above their order-0 entropy.
Cost in step time: none; packing takes about 0.2 s per million weights at level 22.
When it hurts: brotli at quality 11 is a little smaller and only packing is slower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import zstandard

from pgolf.compressor.base import BaseCompressor
from pgolf.compressor.bounded import corrupt, gather
from pgolf.core.ranges import Between
from pgolf.core.results import Layout

EMPTY_FRAME = bytes.fromhex("28b52ffd2000010000")  # at every level


class Zstd(BaseCompressor):
    """``compressor=zstd``."""

    codec_id = "zstd"
    beyond_law: ClassVar[Mapping[str, float]] = {"matrix": 0.085, "embedding": 0.0}

    def __init__(self, *, level: Annotated[int, Between(1, 22)]) -> None:
        self.level = level

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        return zstandard.ZstdCompressor(level=self.level).compress(raw)

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes:
        """Raises ArtifactError for a corrupt stream or one that is not ``raw_length`` bytes long."""
        return decode(packed, raw_length, layout)


def decode(packed: bytes, raw_length: int, layout: Layout) -> bytes:
    """The decoder of codec ``zstd``; see ``Zstd.decode``. The frame's own claim is checked before it is believed."""
    try:
        declared = zstandard.frame_content_size(packed)
        if declared != raw_length:
            raise corrupt(Zstd.codec_id, f"its frame declares {declared:,} bytes, the artifact {raw_length:,}")
        if raw_length == 0 and packed != EMPTY_FRAME:  # the library does not look further at an empty frame
            raise corrupt(Zstd.codec_id, "an empty frame with a damaged end")
        raw = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise corrupt(Zstd.codec_id, error) from error
    return gather(Zstd.codec_id, iter((raw,)), raw_length)
