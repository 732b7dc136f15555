"""Byte-pair encoding of a text whose case is factored out; lossless, and bytes are those of the text.

Letters are in lower case and controls say which were not (``letter_case``), so that ``The``, ``THE`` and ``the`` share
their pieces; then ``bpe`` learns and encodes. The controls are tokens of their own, with the first ids after the
bytes. Decoding undoes the transform token by token: a control is one only as its own token, and what bytes spell is
text. Each target counts the bytes of the *original* that it carries: a control none, unless an escape makes it text.
Source: #1729; its published vocabulary is ``published_caseops``.
Cost in bytes: as ``bpe``. Cost in tokens: a control each for capitals, and a space before a control is a token of its
own, as published: 3.157 bytes a token for 3.727 of the same vocabulary's size without (sp8192). Encoding runs at
about a third of ``bpe``'s speed.
Hurts: where case is rare the controls only take pieces away; an ASCII letter alone is factored, É is not.
"""

# N tokens of a stream, V vocabulary

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from pgolf.core.errors import DataError
from pgolf.core.ranges import Between
from pgolf.tokenizer.bpe import BPE, BPETokenizer
from pgolf.tokenizer.letter_case import BREAK, CONTROLS, ESC, MARKS, escaped, transform, undo_marks
from pgolf.tokenizer.pieces import PieceTokenizer
from pgolf.tokenizer.recipe import FIRST_BYTE_ID, Texts, encodable, require_ids
from pgolf.tokenizer.tables import raw_lengths


class CaseOpsTokenizer:
    """``inner`` encodes transformed text; its symbols begin with the controls."""

    kind: ClassVar[str] = "caseops"
    metric: Literal["raw", "table"] = "raw"

    def __init__(self, *, name: str, inner: PieceTokenizer) -> None:
        if inner.symbols[: len(CONTROLS)] != tuple(CONTROLS):
            raise DataError(f"{name}: the vocabulary's first symbols are not the controls of case")
        self.name, self.inner = name, inner
        self.vocab_size, self.bos_id = inner.vocab_size, inner.bos_id
        self.first_control = FIRST_BYTE_ID + 256
        self.escape_id = self.first_control + CONTROLS.index(ESC)

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of ``text``, without BOS. Raises DataError for lone surrogates."""
        encodable(text)
        return self.inner.encode(transform(text))

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text; BOS and its like have no surface, nor has a control that says nothing, and bytes that are not
        UTF-8 become U+FFFD."""
        array = require_ids(np.asarray(ids, dtype=np.int64), self.vocab_size)
        parts, stretch = [], bytearray()
        for index in array.tolist():
            control = index - self.first_control
            if 0 <= control < len(CONTROLS) or index < FIRST_BYTE_ID:
                parts += [stretch.decode(errors="replace"), MARKS[control] if control >= 0 else BREAK]
                stretch = bytearray()
            else:
                stretch += self.inner.surfaces_V[index]
        return undo_marks("".join([*parts, stretch.decode(errors="replace")]))

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes of the original carried by each target ``tokens_N[1:]``: int64 [N-1]. Before the stream's first token
        no escape is in force."""
        tokens_N = np.asarray(tokens_N)
        lengths_N = raw_lengths(self.inner.surfaces_V, tokens_N)
        control_N = (tokens_N >= self.first_control) & (tokens_N < self.first_control + len(CONTROLS))
        lengths_N[(control_N & ~escaped(tokens_N, self.escape_id))[1:]] = 0
        return lengths_N

    def to_blob(self) -> bytes:
        from pgolf.tokenizer.blob import pack

        return pack({"kind": self.kind, "name": self.name}, self.inner.to_blob())

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> CaseOpsTokenizer:
        from pgolf.tokenizer.blob import from_blob

        inner = from_blob(body)
        if not isinstance(inner, BPETokenizer):
            raise DataError("tokenizer: the blob of kind 'caseops' holds no byte-pair encoding")
        return cls(name=header["name"], inner=inner)


class CaseOps:
    """Recipe of ``tokenizer=caseops``: as ``BPE``, of transformed text; ``symbols`` come after the controls."""

    brings_model = False
    metric: Literal["raw", "table"] = "raw"

    def __init__(
        self,
        *,
        vocab_size: Annotated[int, Between(300, 65536)],
        character_coverage: Annotated[float, Between(0.98, 1)],
        split_digits: bool,
        symbols: Sequence[str],
        train_bytes: Annotated[int, Between(1)],
    ) -> None:
        self.name, self.vocab_size = f"caseops{vocab_size}", vocab_size
        for symbol in symbols:
            if transform(symbol) != symbol:
                raise DataError(
                    f"tokenizer.symbols: {symbol!r} never stands in a text whose case is factored out; in it that is "
                    f"{transform(symbol)!r}"
                )
        self._bpe = BPE(
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            split_digits=split_digits,
            symbols=[*CONTROLS, *symbols],
            train_bytes=train_bytes,
        )
        self._bpe.name = self.name

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> CaseOpsTokenizer:
        """The tokenizer learned from ``train_texts``, kept under ``cache_dir`` by content. Raises DataError."""

        def transformed() -> Iterator[str]:
            return map(transform, train_texts())

        inner = self._bpe.build(transformed, cache_dir, f"case factored out of {fingerprint}")
        return CaseOpsTokenizer(name=self.name, inner=inner)
