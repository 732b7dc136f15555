"""What general-purpose compressors make of a text, alone and when they have read a training text before.

``primed = |C(training + text)| − |C(training)|``: what the text adds where a decoder owns the training text already.
That is more than a counted artifact may own, so it is a mark to beat and no entry of a track. Every window and memory
holds both texts, up to what the format allows (brotli: 16 MB).
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

_PPMD_ORDERS = (6, 16)
_LEAST_WINDOW_LOG, _MOST_WINDOW_LOG = 20, 30
# Of PPMd's memory, so that it need not begin anew; at order 16 on 11 MB twice as much gives the same.
_BYTES_A_SYMBOL = 48
_LEAST_MEMORY, _MOST_MEMORY = 1 << 24, (1 << 32) - 1024  # bytes; PPMd addresses with 32 bits

Compressor = Callable[[bytes], bytes]


class Rival(NamedTuple):
    """``alone_bytes``: of the text by itself; ``primed_bytes``: what it adds to the training text."""

    name: str
    alone_bytes: int
    primed_bytes: int


def rivals(training: bytes, text: bytes) -> Iterator[Rival]:
    """One after another, as each takes some seconds for 10 MB. Those of ``missing`` are left out."""
    together = training + text
    for name, compress in _compressors(len(together)).items():
        yield Rival(name, len(compress(text)), len(compress(together)) - len(compress(training)))


def missing() -> tuple[str, ...]:
    """Names of those whose package is not installed."""
    return () if find_spec("pyppmd") else tuple(f"ppmd order {order}" for order in _PPMD_ORDERS)


def _compressors(size: int) -> dict[str, Compressor]:
    """By name, with room for ``size`` bytes."""
    import brotli
    import zstandard

    log = min(_MOST_WINDOW_LOG, max(_LEAST_WINDOW_LOG, size.bit_length()))
    zstd = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(22, window_log=log, enable_ldm=True)
    )
    xz = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << log}]
    found: dict[str, Compressor] = {
        "brotli 11": lambda data: brotli.compress(data, quality=11, lgwin=24),
        "zstd 22": zstd.compress,
        "xz 9e": lambda data: lzma.compress(data, filters=xz),
    }
    if not missing():
        found.update((f"ppmd order {order}", _ppmd(order, size)) for order in _PPMD_ORDERS)
    return found


def _ppmd(order: int, size: int) -> Compressor:
    """Variant I, rev. 1."""
    from pyppmd import Ppmd8Encoder

    memory = min(_MOST_MEMORY, max(_LEAST_MEMORY, _BYTES_A_SYMBOL * size))

    def compress(data: bytes) -> bytes:
        encoder = Ppmd8Encoder(order, memory)
        return encoder.encode(data) + encoder.flush()

    return compress
