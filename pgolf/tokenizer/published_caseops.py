"""A published sentencepiece model over text whose case is factored out, as it is: #1729's and #1855's vocabulary.

The text is transformed (``letter_case``) and encoded with the model's own normalisation. Bytes of a target: those of
the shards' byte sidecars where a split has them (``data.sidecars=true``); by themselves the ids say less, and then it
is the table rule with the controls worth nothing, unless an escape makes one text. ``encode_with_bytes`` makes a
sidecar: exact but for white space at a document's ends, which has no piece.
Source: #1729, ``sp8192_lossless_caps_caseops_v1_reserved``; the controls are U+E001 to U+E004, ids 4 to 7 there.
Cost: the whole model file in the artifact; a budget may show it uncounted. Hurts: normalisation is lossy (newlines
become spaces), so that only its transform is lossless; for text of our own ``caseops`` is exact.
"""

# N tokens of a stream, V vocabulary

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from pgolf.core.errors import DataError
from pgolf.core.ranges import Between
from pgolf.tokenizer import model_proto
from pgolf.tokenizer.letter_case import CONTROLS, ESC, escaped, sidecar, transform, undo
from pgolf.tokenizer.published import Published
from pgolf.tokenizer.recipe import Texts, encodable, require_ids
from pgolf.tokenizer.tables import ByteTable, byte_table


class PublishedCaseOpsTokenizer:
    """``model`` is the content of a .model file with a piece for each control."""

    kind: ClassVar[str] = "published_caseops"
    metric: Literal["raw", "table"] = "table"

    def __init__(self, *, name: str, model: bytes) -> None:
        self.name = name
        self._model = model
        self._processor = model_proto.load_processor(model, name)
        self.vocab_size = int(self._processor.vocab_size())
        self.bos_id = int(self._processor.bos_id())
        if self.bos_id < 0 or self.vocab_size > 65536:
            raise DataError(f"{name}: needs a BOS and at most 65,536 pieces, has {self.vocab_size:,}")
        self.control_ids = [int(self._processor.piece_to_id(control)) for control in CONTROLS]
        missing = [
            f"U+{ord(control):04X}"
            for control, index in zip(CONTROLS, self.control_ids, strict=True)
            if self._processor.id_to_piece(index) != control
        ]
        if missing:
            raise DataError(f"{name}: no pieces for the controls of case {', '.join(missing)}; it is no CaseOps model")
        pieces = map(self._processor.id_to_piece, range(self.vocab_size))
        mixed = next((piece for piece in pieces if len(piece) > 1 and set(piece) & set(CONTROLS)), None)
        if mixed is not None:
            raise DataError(f"{name}: the controls of case are no tokens of their own, {mixed!r} holds one")
        table = byte_table(model_proto.piece_kinds(self._processor))
        bytes_V = table.bytes_V.copy()
        bytes_V[self.control_ids] = 0
        self.table = ByteTable(bytes_V, table.lead_V, table.bound_V)

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of the transformed, normalised ``text``, without BOS. Raises DataError for lone
        surrogates."""
        encodable(text)
        return np.array(self._processor.encode(transform(text)), dtype=np.uint16)

    def encode_with_bytes(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """(ids, bytes of the original carried by each), both uint16 [n], without BOS. Raises DataError."""
        encodable(text)
        return sidecar(transform(text), self._processor)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The normalised text with its case; controls that say nothing stay."""
        array = require_ids(np.asarray(ids, dtype=np.int64), self.vocab_size)
        return undo(str(self._processor.decode(array.tolist())))

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes of each target by the table rule, without a sidecar: int64 [N-1]."""
        tokens_N = np.asarray(tokens_N)
        literal_N = np.isin(tokens_N, self.control_ids) & escaped(tokens_N, self.control_ids[CONTROLS.index(ESC)])
        return self.table.target_bytes(tokens_N) + len(ESC.encode()) * literal_N[1:]

    def to_blob(self) -> bytes:
        from pgolf.tokenizer.blob import pack

        return pack({"kind": self.kind, "name": self.name}, self._model)

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> PublishedCaseOpsTokenizer:
        return cls(name=header["name"], model=body)


class PublishedCaseOps:
    """Recipe of ``tokenizer=sp8192_caseops``; ``model_file`` as for ``published``."""

    metric: Literal["raw", "table"] = "table"

    def __init__(self, *, name: str, vocab_size: Annotated[int, Between(8, 65536)], model_file: str | None) -> None:
        self.name, self.vocab_size = name, vocab_size
        self._plain = Published(name=name, vocab_size=vocab_size, model_file=model_file)

    @property
    def brings_model(self) -> bool:
        return self._plain.brings_model

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> PublishedCaseOpsTokenizer:
        """Load the model. Raises DataError if it is missing, foreign, of another size or without controls."""
        plain = self._plain.build(train_texts, cache_dir, fingerprint, published_model)
        return PublishedCaseOpsTokenizer(name=self.name, model=plain.model)
