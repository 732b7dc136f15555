"""A published sentencepiece model, as it is: normalisation included, bytes by the ``table`` rule.

Source: the vocabularies sp1024, sp4096, sp8192 of openai/parameter-golf. Normalisation is lossy (newlines
and runs of white space become one space, compatibility characters are rewritten), so counted bytes are
those of the normalised text. Cost: the whole model file in the artifact; a budget may show it uncounted.
Hurts: not comparable with ``raw`` scores.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from pgolf.core.errors import DataError
from pgolf.core.ranges import Between
from pgolf.tokenizer import model_proto
from pgolf.tokenizer.recipe import Texts, encodable, require_ids
from pgolf.tokenizer.tables import byte_table


class PublishedTokenizer:
    """``model`` is the content of a .model file."""

    kind: ClassVar[str] = "published"
    metric: Literal["raw", "table"] = "table"

    def __init__(self, *, name: str, model: bytes) -> None:
        self.name = name
        self.model = model
        self._processor = model_proto.load_processor(model, name)
        self.vocab_size = int(self._processor.vocab_size())
        self.bos_id = int(self._processor.bos_id())
        if self.bos_id < 0 or self.vocab_size > 65536:
            raise DataError(f"{name}: needs a BOS and at most 65,536 pieces, has {self.vocab_size:,}")
        self.table = byte_table(model_proto.piece_kinds(self._processor))

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of the normalised ``text``, without BOS. Raises DataError for lone surrogates."""
        encodable(text)
        return np.array(self._processor.encode(text), dtype=np.uint16)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        array = require_ids(np.asarray(ids, dtype=np.int64), self.vocab_size)
        return str(self._processor.decode(array.tolist()))

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes of each target by the official table, given its predecessor: int64 [N-1]."""
        return self.table.target_bytes(tokens_N)

    def to_blob(self) -> bytes:
        from pgolf.tokenizer.blob import pack

        return pack({"kind": self.kind, "name": self.name}, self.model)

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> PublishedTokenizer:
        return cls(name=header["name"], model=body)


class Published:
    """Recipe of ``tokenizer=sp1024`` and its like.

    ``model_file`` null: the model that came with the published shards. A path serves text corpora too.
    """

    metric: Literal["raw", "table"] = "table"

    def __init__(self, *, name: str, vocab_size: Annotated[int, Between(2, 65536)], model_file: str | None) -> None:
        self.name, self.vocab_size, self.model_file = name, vocab_size, model_file

    @property
    def brings_model(self) -> bool:
        return bool(self.model_file)

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> PublishedTokenizer:
        """Load the model. Raises DataError if it is missing, foreign, or of another vocabulary size."""
        path = Path(self.model_file).expanduser() if self.model_file else published_model
        if path is None:
            raise DataError(
                f"tokenizer={self.name}: its model comes with data=fineweb; for another text name the file with "
                "tokenizer.model_file=PATH, or choose one of ours (tokenizer=bpe4096)"
            )
        try:
            model = path.read_bytes()
        except OSError as error:
            raise DataError(f"tokenizer={self.name}: {path} cannot be read ({error})") from error
        try:
            tokenizer = PublishedTokenizer(name=self.name, model=model)
        except DataError as error:
            hint = "" if self.model_file else f"; to have it fetched anew: rm {shlex.quote(str(path.resolve()))}"
            raise DataError(f"{path}: {error}{hint}") from error
        if tokenizer.vocab_size != self.vocab_size:
            raise DataError(f"{path}: has {tokenizer.vocab_size} pieces, tokenizer={self.name} has {self.vocab_size}")
        return tokenizer
