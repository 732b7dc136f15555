"""The tokenizer as bytes: what the artifact carries and what a prepared data set keeps beside its shards.

Layout: one line of JSON (``kind`` and the settings of that kind), a newline, the body. The same tokenizer
gives the same bytes in every process, so the SHA-256 of the blob is the tokenizer's identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pgolf.core.errors import DataError
from pgolf.core.json_text import parse_json
from pgolf.tokenizer.recipe import PortableTokenizer

# Imported only when met, so that a run carries no tokenizer it does not use.
KINDS: Mapping[str, str] = {
    "bpe": "pgolf.tokenizer.bpe.BPETokenizer",
    "bytes": "pgolf.tokenizer.bytes.ByteTokenizer",
    "published": "pgolf.tokenizer.published.PublishedTokenizer",
}


def pack(header: Mapping[str, Any], body: bytes) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n" + body


def identity(tokenizer: PortableTokenizer) -> str:
    """SHA-256 (hex) of the blob."""
    return hashlib.sha256(tokenizer.to_blob()).hexdigest()


def from_blob(blob: bytes) -> PortableTokenizer:
    """The tokenizer whose ``to_blob`` gave ``blob``. Raises DataError if it is not such a blob."""
    line, _, body = blob.partition(b"\n")
    header = parse_json(line, "tokenizer: these bytes are no tokenizer blob", DataError)
    kind = header.get("kind") if isinstance(header, dict) else None
    if not isinstance(kind, str):
        raise DataError("tokenizer: these bytes are no tokenizer blob")
    if kind not in KINDS:
        raise DataError(f"tokenizer: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    module, _, name = KINDS[kind].rpartition(".")
    try:
        return getattr(import_module(module), name).from_parts(header, body)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"tokenizer: the blob of kind {kind!r} is damaged ({error!r})") from error
