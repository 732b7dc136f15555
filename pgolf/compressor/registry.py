"""From the codec id that stands in an artifact to its decoder.

A codec is a module of this package with a function ``decode``, and its id is the module's name. Modules are imported
only when their codec is met, so that a run carries no compressor it does not use; a counted script has only that one.
"""

from __future__ import annotations

from collections.abc import Callable

import pgolf.compressor
from pgolf.core.errors import ArtifactError, did_you_mean
from pgolf.core.registry import module_named, stems
from pgolf.core.results import Layout

Decoder = Callable[[bytes, int, Layout], bytes]

_LEAVES = ("base", "bounded", "range_kernels", "range_tables", "registry")


def codecs() -> list[str]:
    """The ids of all codecs, sorted. Inside a counted script, which has no folder to look into: none."""
    return stems(pgolf.compressor, _LEAVES)


def decoder(codec_id: str) -> Decoder:
    """``decode(packed, raw_length, layout) -> raw`` of ``codec_id``. Raises ArtifactError for an unknown id."""
    module = module_named(pgolf.compressor, codec_id, _LEAVES)
    if module is None:
        known = ", ".join(codecs()) or "only those of this script's run"
        raise ArtifactError(f"artifact: unknown codec {codec_id!r} (known: {known}).{did_you_mean(codec_id, codecs())}")
    return module.decode
