"""From the codec id that stands in an artifact to its decoder.

Modules are imported only when their codec is met, so that a run carries no compressor it does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from pgolf.core.errors import ArtifactError, did_you_mean

Decoder = Callable[[bytes, int], bytes]

CODECS: Mapping[str, str] = {
    "zlib": "pgolf.compressor.zlib",
    "zstd": "pgolf.compressor.zstd",
    "brotli": "pgolf.compressor.brotli",
    "lzma": "pgolf.compressor.lzma",
}


def decoder(codec_id: str) -> Decoder:
    """``decode(packed, raw_length) -> raw`` of ``codec_id``. Raises ArtifactError for an unknown id."""
    if codec_id not in CODECS:
        known = ", ".join(CODECS)
        raise ArtifactError(
            f"artifact: unknown codec {codec_id!r} (known: {known}).{did_you_mean(codec_id, list(CODECS))}"
        )
    return import_module(CODECS[codec_id]).decode
