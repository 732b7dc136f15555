"""LZMA: Lempel-Ziv matching and an adaptive binary range coder, in every Python.

Formula: fractions of a bit per decision, contexts from position and previous byte.
Source: the .lzma container (13 bytes of header); used by PRs #1019, #1026, #1060.
Cost in bytes: on int6 weights 2 to 3 % above their order-0 entropy; best of the four on text and code.
Cost in step time: none; packing takes about 0.3 s per million weights.
When it hurts: on int8 weights, where it is larger than zlib.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pgolf.compressor.base import BaseCompressor
from pgolf.compressor.bounded import STEP_BYTES, corrupt, gather
from pgolf.core.ranges import Between
from pgolf.core.results import Layout

MEMORY_BESIDE_DICTIONARY = 1 << 20  # the decoder's own tables, generously


class Lzma(BaseCompressor):
    """``compressor=lzma``."""

    codec_id = "lzma"
    beyond_law: ClassVar[Mapping[str, float]] = {"matrix": 0.15, "embedding": -0.07}

    def __init__(self, *, preset: Annotated[int, Between(0, 9)]) -> None:
        self.preset = preset

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        preset = self.preset | lzma.PRESET_EXTREME
        filters = [{"id": lzma.FILTER_LZMA1, "preset": preset, "dict_size": _dictionary_bytes(len(raw))}]
        return lzma.compress(raw, format=lzma.FORMAT_ALONE, filters=filters)

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes:
        """Raises ArtifactError for a corrupt stream or one that is not ``raw_length`` bytes long."""
        return decode(packed, raw_length, layout)


def decode(packed: bytes, raw_length: int, layout: Layout) -> bytes:
    """The decoder of codec ``lzma``; see ``Lzma.decode``."""
    return gather(Lzma.codec_id, _pieces(packed, raw_length), raw_length)


def _dictionary_bytes(raw_length: int) -> int:
    """The next power of two, so that the decoder needs no more memory than what it decodes deserves."""
    return min(max(1 << 12, 1 << raw_length.bit_length()), 1 << 26)


def _pieces(packed: bytes, raw_length: int) -> Iterator[bytes]:
    memory = _dictionary_bytes(raw_length) + MEMORY_BESIDE_DICTIONARY  # a forged header could ask for 4 GiB
    stream = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=memory)
    try:
        while not stream.eof:
            piece = stream.decompress(packed, STEP_BYTES)
            if not piece and not stream.eof and stream.needs_input:
                raise corrupt(Lzma.codec_id, "it ends early")
            packed = b""
            yield piece
    except lzma.LZMAError as error:
        raise corrupt(Lzma.codec_id, error) from error
    if stream.unused_data:
        raise corrupt(Lzma.codec_id, "bytes follow its end")
