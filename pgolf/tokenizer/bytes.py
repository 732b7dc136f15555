"""Bytes as tokens: id = byte + 4, so that 0..3 stay pad, BOS, EOS and unknown (variant ``byte260``).

Source: the challenge's byte260 export (spec: published variants). Cost: no bytes in the artifact beyond a
few for its name, 260 embedding rows; four to five times as many positions per byte as a BPE vocabulary,
which is where it hurts. Lossless for every text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pgolf.tokenizer.recipe import BOS_ID, FIRST_BYTE_ID, Texts, encodable, require_ids

VOCAB_SIZE = 256 + FIRST_BYTE_ID


class ByteTokenizer:
    """UTF-8 bytes, shifted by four. ``metric`` raw: one byte per token, BOS none."""

    name = "byte260"
    vocab_size = VOCAB_SIZE
    bos_id = BOS_ID
    kind: ClassVar[str] = "bytes"
    metric: Literal["raw", "table"] = "raw"

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of ``text``, without BOS. Raises DataError for lone surrogates."""
        encodable(text)
        return np.frombuffer(text.encode(), np.uint8).astype(np.uint16) + np.uint16(FIRST_BYTE_ID)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text; ids below 4 have no surface, bytes that are not UTF-8 become U+FFFD."""
        array = require_ids(np.asarray(ids, dtype=np.int64), VOCAB_SIZE)
        return (array[array >= FIRST_BYTE_ID] - FIRST_BYTE_ID).astype(np.uint8).tobytes().decode(errors="replace")

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes carried by each target ``tokens_N[1:]``: int64 [N-1]."""
        return (np.asarray(tokens_N)[1:] >= FIRST_BYTE_ID).astype(np.int64)

    def to_blob(self) -> bytes:
        from pgolf.tokenizer.blob import pack

        return pack({"kind": self.kind}, b"")

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> ByteTokenizer:
        return cls()


class Bytes:
    """Recipe of ``tokenizer=bytes``: nothing to learn."""

    name = "byte260"
    vocab_size = VOCAB_SIZE
    brings_model = False
    metric: Literal["raw", "table"] = "raw"

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> ByteTokenizer:
        return ByteTokenizer()
