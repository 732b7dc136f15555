"""What compressors inherit. The contract itself is ``pgolf.core.protocols.Compressor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class BaseCompressor:
    """An option supplies ``codec_id``, ``encode`` and ``decode``; a module of its name, the function ``decode``."""

    beyond_law: ClassVar[Mapping[str, float]] = {"matrix": 0.1, "embedding": 0.0}
    """By storage role, bits that a weight takes beyond the Gaussian law (``pgolf.quant.forecast``); for forecasts
    alone.

    The default lies amid brotli, zstd and lzma and within 0.15 bit of each, which is 3 % of a submission at int5. An
    own number is measured on a trained run: ``pgolf bench artifact RUN`` prints weights and bytes of every role under
    every compressor; take the law's bytes (``beyond_law`` 0 in the forecast at the head of the run) off them, times 8
    by weight.
    """
