"""What every option of the group ``tokenizer`` is: a recipe that yields a tokenizer for one corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from pgolf.core.errors import DataError
from pgolf.core.make import make
from pgolf.core.protocols import Tokenizer

Texts = Callable[[], Iterator[str]]

PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
CONTROL_PIECES = ("<pad>", "<s>", "</s>", "<unk>")
FIRST_BYTE_ID = 4
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))


class PortableTokenizer(Tokenizer, Protocol):
    """A tokenizer that knows its byte metric and can travel in an artifact.

    ``kind``: the name of the module that has it, which stands in its blob.
    """

    metric: Literal["raw", "table"]
    kind: ClassVar[str]

    def to_blob(self) -> bytes:
        """Everything ``from_blob`` needs, compact and the same in every process."""
        ...

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> PortableTokenizer:
        """The tokenizer whose blob has this header and body. Raises DataError, or what a damaged blob leads to."""
        ...


class Recipe(Protocol):
    """``name`` is the variant's name: ``fineweb10B_<name>`` is the published data set made with it.

    ``vocab_size``: of the tokenizer it will build. ``brings_model``: it brings a model of its own, a file or an
    artifact's, to which published shards are held; otherwise it takes theirs, learns one or has none to take.
    ``metric``: how its tokenizer counts bytes.
    """

    name: str
    vocab_size: int
    metric: Literal["raw", "table"]

    @property
    def brings_model(self) -> bool: ...

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> PortableTokenizer:
        """The tokenizer for the corpus with this fingerprint, from the cache where it has been made before.

        ``train_texts()`` iterates over the training documents; ``published_model`` is the model
        file that came with published shards, if any. Raises DataError.
        """
        ...


def encodable(text: str) -> None:
    """Raise DataError for text with lone surrogates, which has no UTF-8 form and so no bytes to count."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"text is not valid Unicode: character {error.start} is a lone surrogate") from error


def require_ids(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """``ids`` as an array, or DataError if one of them is outside ``[0, vocab_size)``."""
    if ids.size and (int(ids.max()) >= vocab_size or int(ids.min()) < 0):
        raise DataError(f"token ids {int(ids.min())}..{int(ids.max())} leave the vocabulary of {vocab_size}")
    return ids


def stream_of_texts(tokenizer: Tokenizer, texts: Iterable[str]) -> np.ndarray:
    """BOS and the ids of each document, one after another: uint16 [N]."""
    bos = np.array([tokenizer.bos_id], dtype=np.uint16)
    pieces = [piece for text in texts for piece in (bos, tokenizer.encode(text))]
    return np.concatenate(pieces).astype(np.uint16)


def vocab_size(node: Mapping[str, Any]) -> int:
    """Of the tokenizer that the config's ``node`` will build, which need not have been built for that."""
    found = node.get("vocab_size")
    return int(make(node).vocab_size if found is None else found)
