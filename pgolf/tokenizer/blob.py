"""The tokenizer as bytes: what the artifact carries and what a prepared data set keeps beside its shards.

Layout: one line of JSON (``kind`` and the settings of that kind), a newline, the body. The kind is the name of the
module of this package that has the tokenizer; it is imported only when met, so that a run carries no tokenizer it does
not use. The same tokenizer gives the same bytes in every process, so the SHA-256 of the blob is its identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pgolf.tokenizer
from pgolf.core.errors import DataError
from pgolf.core.json_text import parse_json
from pgolf.core.registry import module_named, stems
from pgolf.tokenizer.recipe import PortableTokenizer

_LEAVES = ("blob", "fixed", "letter_case", "model_proto", "pieces", "recipe", "tables")


def pack(header: Mapping[str, Any], body: bytes) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n" + body


def identity(tokenizer: PortableTokenizer) -> str:
    """SHA-256 (hex) of the blob."""
    return hashlib.sha256(tokenizer.to_blob()).hexdigest()


def kinds() -> list[str]:
    """Every kind of tokenizer, sorted. Inside a counted script, which has no folder to look into: none."""
    return stems(pgolf.tokenizer, _LEAVES)


def from_blob(blob: bytes) -> PortableTokenizer:
    """The tokenizer whose ``to_blob`` gave ``blob``. Raises DataError if it is not such a blob."""
    line, _, body = blob.partition(b"\n")
    header = parse_json(line, "tokenizer: these bytes are no tokenizer blob", DataError)
    kind = header.get("kind") if isinstance(header, dict) else None
    if not isinstance(kind, str):
        raise DataError("tokenizer: these bytes are no tokenizer blob")
    cls = _class_of(kind)
    if cls is None:
        known = ", ".join(kinds()) or "only that of this script's run"
        raise DataError(f"tokenizer: unknown kind {kind!r}; known are {known}")
    try:
        return cls.from_parts(header, body)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"tokenizer: the blob of kind {kind!r} is damaged ({error!r})") from error


def _class_of(kind: str) -> type[PortableTokenizer] | None:
    """The class in the module ``kind`` that says it makes this kind."""
    module = module_named(pgolf.tokenizer, kind, _LEAVES)
    if module is None:
        return None
    classes = (value for value in module.__dict__.values() if isinstance(value, type))
    return next((cls for cls in classes if getattr(cls, "kind", None) == kind), None)
