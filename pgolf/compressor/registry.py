"""From the codec id that stands in an artifact to its decoder.

Modules are imported only when their codec is met, so that a run carries no compressor it does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from pgolf.core.errors import ArtifactError, did_you_mean
from pgolf.core.results import Layout

Decoder = Callable[[bytes, int, Layout], bytes]

CODECS: Mapping[str, str] = {
    "zlib": "pgolf.compressor.zlib",
    "zstd": "pgolf.compressor.zstd",
    "brotli": "pgolf.compressor.brotli",
    "lzma": "pgolf.compressor.lzma",
    "range": "pgolf.compressor.range",
}


def decoder(codec_id: str) -> Decoder:
    """``decode(packed, raw_length, layout) -> raw`` of ``codec_id``. Raises ArtifactError for an unknown id."""
    if codec_id not in CODECS:
        known = ", ".join(CODECS)
        raise ArtifactError(
            f"artifact: unknown codec {codec_id!r} (known: {known}).{did_you_mean(codec_id, list(CODECS))}"
        )
    return import_module(CODECS[codec_id]).decode


def prepare(codec_ids: Iterable[str]) -> None:
    """Load the decoders of ``codec_ids`` now, for a process that is about to close itself to files.

    A module that has something to compile or to load does it when it is imported. Unknown ids are left to ``decoder``.
    """
    for codec_id in codec_ids:
        if codec_id in CODECS:
            import_module(CODECS[codec_id])
