"""What tokenizers learned from the training text share: pieces with scores, encoded by sentencepiece, lossless.

``decode(encode(x)) == x`` for every text that has a UTF-8 form. Identity normalisation, no dummy prefix, white space
kept, a byte token for everything outside the alphabet. The space sign U+2581 stands for a space inside pieces, so a
literal U+2581 is cut out and written as its three byte tokens: every id has one surface and bytes are exact. Children
say how pieces are learned, scored and stored.
"""

from __future__ import annotations

import hashlib
import io
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from pgolf.core.atomic import write_bytes_atomic
from pgolf.core.errors import DataError
from pgolf.core.ranges import Between
from pgolf.tokenizer import model_proto
from pgolf.tokenizer.model_proto import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED
from pgolf.tokenizer.recipe import (
    BOS_ID,
    BYTE_PIECES,
    CONTROL_PIECES,
    FIRST_BYTE_ID,
    UNK_ID,
    Texts,
    encodable,
    require_ids,
)
from pgolf.tokenizer.tables import SPACE, raw_lengths

_FORMAT = 2
FIRST_PIECE_ID = FIRST_BYTE_ID + 256
_SPACE_BYTES = [FIRST_BYTE_ID + byte for byte in SPACE.encode()]
# Control characters, the space sign and sentencepiece's own reserved character never enter a piece.
_TRAINING_CUTS = re.compile("[\x00-\x1f\x7f▁▅]+")
_MAX_LINE_CHARACTERS = 100_000
_SMALLEST, _LARGEST = FIRST_PIECE_ID + 2, 65536
_DIGEST_BYTES = 32
# What sentencepiece says, in its own settings' names and without our symbols; the wording of 0.2.0 to 0.2.3.
_TOO_LARGE = re.compile(r"Vocabulary size too high .*?<= (\d+)")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_NO_TEXT = "!sentences_.empty()"


class PieceTokenizer(ABC):
    """``symbols`` are whole strings with an id of their own; ``scores`` gives the learned pieces, by id, what
    sentencepiece's ``model_type`` weighs them by."""

    kind: ClassVar[str]
    model_type: ClassVar[Literal["unigram", "bpe"]]
    metric: Literal["raw", "table"] = "raw"
    bos_id = BOS_ID

    def __init__(self, *, name: str, symbols: Sequence[str], scores: Mapping[str, float]) -> None:
        if SPACE not in scores:
            raise DataError(f"{name}: the vocabulary has no standalone space piece '{SPACE}'")
        self.name, self.symbols, self.pieces = name, tuple(symbols), tuple(scores)
        self.vocab_size = FIRST_PIECE_ID + len(self.symbols) + len(self.pieces)
        listed = [(piece, UNKNOWN if index == UNK_ID else CONTROL, 0.0) for index, piece in enumerate(CONTROL_PIECES)]
        listed += [(piece, BYTE, 0.0) for piece in BYTE_PIECES]
        listed += [(symbol, USER_DEFINED, 0.0) for symbol in self.symbols]
        listed += [(piece, NORMAL, score) for piece, score in scores.items()]
        self._processor = model_proto.load_processor(model_proto.write_model(listed, self.model_type), name)
        self.surfaces_V = [b""] * FIRST_BYTE_ID + [bytes([byte]) for byte in range(256)]
        self.surfaces_V += [symbol.encode() for symbol in self.symbols]
        self.surfaces_V += [piece.replace(SPACE, " ").encode() for piece in self.pieces]

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of ``text``, without BOS. Raises DataError for lone surrogates."""
        encodable(text)
        ids: list[int] = []
        for index, part in enumerate(text.split(SPACE)):
            if index:
                ids += _SPACE_BYTES
            if part:
                ids += self._processor.encode(part)
        return np.array(ids, dtype=np.uint16)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text; BOS and its like have no surface, bytes that are not UTF-8 become U+FFFD."""
        array = require_ids(np.asarray(ids, dtype=np.int64), self.vocab_size)
        return b"".join(self.surfaces_V[index] for index in array.tolist()).decode(errors="replace")

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Exact bytes carried by each target ``tokens_N[1:]``: int64 [N-1]."""
        return raw_lengths(self.surfaces_V, tokens_N)

    @abstractmethod
    def to_blob(self) -> bytes:
        """The tokenizer as bytes, of which ``from_parts`` makes it again."""

    @classmethod
    @abstractmethod
    def from_learned(cls, name: str, symbols: Sequence[str], scores: Mapping[str, float]) -> PieceTokenizer:
        """From what sentencepiece has learned: its pieces in its order, with its scores."""


class LearnedRecipe:
    """Learn ``vocab_size`` pieces from the training documents. A child names the class of the ``tokenizer``.

    ``symbols`` are strings that always are one token (a paragraph break, say); ``train_bytes`` bounds how
    much text is read for large corpora, from the start, in order.
    """

    brings_model = False
    metric: Literal["raw", "table"] = "raw"
    tokenizer: ClassVar[type[PieceTokenizer]]

    def __init__(
        self,
        *,
        vocab_size: Annotated[int, Between(_SMALLEST, _LARGEST)],
        character_coverage: Annotated[float, Between(0.98, 1)],
        split_digits: bool,
        symbols: Sequence[str],
        train_bytes: Annotated[int, Between(1)],
    ) -> None:
        self.name = f"{self.tokenizer.kind}{vocab_size}"
        self.vocab_size = vocab_size
        self.character_coverage = character_coverage
        self.split_digits = split_digits
        self.symbols = tuple(symbols)
        self.train_bytes = train_bytes
        for symbol in self.symbols:
            if not symbol or SPACE in symbol or symbol in CONTROL_PIECES + BYTE_PIECES or "\x00" in symbol:
                raise DataError(f"tokenizer.symbols: {symbol!r} cannot have a token of its own")
        if len(set(self.symbols)) < len(self.symbols):
            raise DataError(f"tokenizer.symbols: {list(self.symbols)} names one string twice")

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> PieceTokenizer:
        """The tokenizer learned from ``train_texts``, kept under ``cache_dir`` by content.

        Raises DataError if the text is too small for the vocabulary or holds no space.
        """
        settings = (
            _FORMAT,
            self.vocab_size,
            self.character_coverage,
            self.split_digits,
            self.symbols,
            self.train_bytes,
        )
        key = hashlib.sha256(repr((settings, fingerprint)).encode()).hexdigest()[:16]
        path = Path(cache_dir) / "tokenizers" / f"{self.name}-{key}.blob"
        if not path.exists():
            learned = self.tokenizer.from_learned(self.name, self.symbols, self._learn(train_texts))
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{path.parent}: cannot be written ({error})") from error
            blob = learned.to_blob()
            write_bytes_atomic(path, hashlib.sha256(blob).digest() + blob)
        return self._cached(path)

    def _cached(self, path: Path) -> PieceTokenizer:
        """What ``build`` kept. Raises DataError for a damaged file, which would be another tokenizer unnoticed."""
        from pgolf.tokenizer.blob import from_blob

        try:
            kept = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}); delete it") from error
        blob = kept[_DIGEST_BYTES:]
        if hashlib.sha256(blob).digest() != kept[:_DIGEST_BYTES]:
            raise DataError(f"{path}: damaged; to have it learned anew: rm {shlex.quote(str(path))}")
        cached = from_blob(blob)
        if not isinstance(cached, self.tokenizer) or cached.vocab_size != self.vocab_size:
            raise DataError(f"{path}: not the tokenizer it is named after; delete it")
        return cached

    def _learn(self, train_texts: Texts) -> dict[str, float]:
        """Learned pieces in the order of their ids, with their scores."""
        import sentencepiece

        model = io.BytesIO()
        lines = _Lines(_training_lines(train_texts, self.train_bytes, self.symbols))
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines,
                model_writer=model,
                model_type=self.tokenizer.model_type,
                vocab_size=self.vocab_size - len(self.symbols),
                character_coverage=self.character_coverage,
                split_digits=self.split_digits,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                byte_fallback=True,
                required_chars=SPACE,
                pad_id=0,
                bos_id=1,
                eos_id=2,
                unk_id=3,
                max_sentence_length=8 * _MAX_LINE_CHARACTERS,
                shuffle_input_sentence=False,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            if lines.error is not None:
                raise lines.error from None
            raise DataError(self._refused(str(error))) from error
        processor = model_proto.load_processor(model.getvalue(), self.name)
        learned = range(FIRST_PIECE_ID, processor.vocab_size())
        scores = {processor.id_to_piece(index): processor.get_score(index) for index in learned}
        if FIRST_PIECE_ID + len(self.symbols) + len(scores) != self.vocab_size:
            raise DataError(self._at_most(len(scores) + FIRST_PIECE_ID + len(self.symbols)))
        return scores

    def _refused(self, reason: str) -> str:
        """sentencepiece's refusal in the words of our settings: its sizes are without our symbols."""
        if _NO_TEXT in reason:
            return (
                f"tokenizer={self.name}: no text to learn from (control characters do not count, and published "
                "shards come without text); choose tokenizer=bytes, or for such shards their own vocabulary"
            )
        if found := _TOO_LARGE.search(reason):
            return self._at_most(int(found[1]) + len(self.symbols))
        if found := _TOO_SMALL.search(reason):
            needed = int(found[1]) + len(self.symbols)
            larger = f"tokenizer.vocab_size={needed} or more" if needed <= _LARGEST else "no vocabulary"
            return (
                f"tokenizer.vocab_size: {self.vocab_size} is too small for the characters of this text at "
                f"tokenizer.character_coverage={self.character_coverage}: {larger} holds them; choose that, a smaller "
                "coverage (down to 0.98; rarer characters become byte tokens), or tokenizer=bytes"
            )
        return f"tokenizer={self.name}: sentencepiece cannot learn from this text ({reason.strip()})"

    def _at_most(self, pieces: int) -> str:
        smaller = f"choose tokenizer.vocab_size={pieces} or less, or " if pieces >= _SMALLEST else "choose "
        return (
            f"tokenizer.vocab_size: only {pieces} of {self.vocab_size} pieces can be learned from this text; "
            f"{smaller}tokenizer=bytes"
        )


class _Lines:
    """Hands lines to sentencepiece, which turns whatever is raised on the way into an error of its own."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _training_lines(train_texts: Texts, limit: int, symbols: Sequence[str]) -> Iterator[str]:
    """Pieces of text between characters that may not enter a piece, up to ``limit`` bytes in all."""
    cut_symbols = re.compile("|".join(re.escape(symbol) for symbol in symbols)) if symbols else None
    for text in train_texts():
        for part in cut_symbols.split(text) if cut_symbols else (text,):
            for line in _TRAINING_CUTS.split(part):
                for start in range(0, len(line), _MAX_LINE_CHARACTERS):
                    piece = line[start : start + _MAX_LINE_CHARACTERS]
                    yield piece
                    limit -= len(piece.encode())
        if limit <= 0:
            return
