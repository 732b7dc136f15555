"""Lossless byte-pair encoding: ``decode(encode(x)) == x`` for every text that has a UTF-8 form.

Merge the most frequent neighbours of the training text until the vocabulary is full; encode by merging
the earliest-learned pair first. Identity normalisation, no dummy prefix, white space kept, a byte token for
everything outside the alphabet. The space sign U+2581 stands for a space inside pieces, so a literal
U+2581 is cut out and written as its three byte tokens: every id has one surface and bytes are exact.
Source: Sennrich et al. 2016; sentencepiece does the counting and the merging.
Cost: two numbers per merge in the artifact (about 2.4 bytes each under brotli), one embedding row per
piece; training takes about a second per 10 MB, encoding about 5 MB/s. Hurts: rows that are rarely seen are
badly trained, so a vocabulary too large for the text loses.
"""

from __future__ import annotations

import hashlib
import io
import re
import shlex
from collections.abc import Iterator, Sequence
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
_FIRST_PIECE_ID = FIRST_BYTE_ID + 256
_SPACE_BYTES = [FIRST_BYTE_ID + byte for byte in SPACE.encode()]
# Control characters, the space sign and sentencepiece's own reserved character never enter a piece.
_TRAINING_CUTS = re.compile("[\x00-\x1f\x7f▁▅]+")
_MAX_LINE_CHARACTERS = 100_000
_SMALLEST, _LARGEST = _FIRST_PIECE_ID + 2, 65536
_DIGEST_BYTES = 32
# What sentencepiece says, in its own settings' names and without our symbols; the wording of 0.2.0 to 0.2.3.
_TOO_LARGE = re.compile(r"Vocabulary size too high .*?<= (\d+)")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_NO_TEXT = "!sentences_.empty()"


class BPETokenizer:
    """``symbols`` are whole strings with an id of their own; ``pieces`` the learned ones, in rank order."""

    kind: ClassVar[str] = "bpe"
    metric: Literal["raw", "table"] = "raw"
    bos_id = BOS_ID

    def __init__(self, *, name: str, symbols: Sequence[str], pieces: Sequence[str]) -> None:
        if SPACE not in pieces:
            raise DataError(f"{name}: the vocabulary has no standalone space piece '{SPACE}'")
        self.name = name
        self.symbols, self.pieces = tuple(symbols), tuple(pieces)
        self.vocab_size = _FIRST_PIECE_ID + len(self.symbols) + len(self.pieces)
        listed = [(piece, UNKNOWN if index == UNK_ID else CONTROL, 0.0) for index, piece in enumerate(CONTROL_PIECES)]
        listed += [(piece, BYTE, 0.0) for piece in BYTE_PIECES]
        listed += [(symbol, USER_DEFINED, 0.0) for symbol in self.symbols]
        listed += [(piece, NORMAL, -float(rank)) for rank, piece in enumerate(self.pieces)]
        self._processor = model_proto.load_processor(model_proto.write_model(listed), name)
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

    def to_blob(self) -> bytes:
        """Alphabet, then each merged piece as the ranks of its two halves (smaller than its spelling)."""
        from pgolf.tokenizer.blob import pack

        alphabet = [piece for piece in self.pieces if len(piece) == 1]
        rank = {piece: index for index, piece in enumerate(alphabet)}
        pairs = np.array([_halves(piece, rank) for piece in self.pieces if len(piece) > 1], dtype="<u2").reshape(-1, 2)
        letters = "".join(alphabet).encode()
        header = {
            "kind": self.kind,
            "name": self.name,
            "symbols": list(self.symbols),
            "alphabet": len(letters),
        }
        planes = [(pairs[:, half] >> shift).astype(np.uint8).tobytes() for half in (0, 1) for shift in (8, 0)]
        return pack(header, letters + b"".join(planes))

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> BPETokenizer:
        length = header["alphabet"]
        alphabet = list(body[:length].decode())
        planes = np.frombuffer(body[length:], np.uint8).astype(np.int64).reshape(4, -1)
        pieces = list(alphabet)
        for left, right in zip(planes[0] * 256 + planes[1], planes[2] * 256 + planes[3], strict=True):
            pieces.append(pieces[left] + pieces[right])
        merged = pieces[len(alphabet) :]
        return cls(name=header["name"], symbols=header["symbols"], pieces=merged + alphabet)


def _halves(piece: str, rank: dict[str, int]) -> tuple[int, int]:
    """Ranks of two known pieces that spell ``piece``, which is then known too."""
    splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
    known = [(rank[left], rank[right]) for left, right in splits if left in rank and right in rank]
    assert known, f"merge {piece!r} has no known halves"
    rank[piece] = len(rank)
    return min(known, key=lambda pair: (max(pair), pair))


class BPE:
    """Recipe of ``tokenizer=bpe``: learn ``vocab_size`` pieces from the training documents.

    ``symbols`` are strings that always are one token (a paragraph break, say); ``train_bytes`` bounds how
    much text is read for large corpora, from the start, in order.
    """

    brings_model = False
    metric: Literal["raw", "table"] = "raw"

    def __init__(
        self,
        *,
        vocab_size: Annotated[int, Between(_SMALLEST, _LARGEST)],
        character_coverage: Annotated[float, Between(0.98, 1)],
        split_digits: bool,
        symbols: Sequence[str],
        train_bytes: Annotated[int, Between(1)],
    ) -> None:
        self.name = f"bpe{vocab_size}"
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
    ) -> BPETokenizer:
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
            learned = BPETokenizer(name=self.name, symbols=self.symbols, pieces=self._learn(train_texts))
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{path.parent}: cannot be written ({error})") from error
            blob = learned.to_blob()
            write_bytes_atomic(path, hashlib.sha256(blob).digest() + blob)
        return self._cached(path)

    def _cached(self, path: Path) -> BPETokenizer:
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
        if not isinstance(cached, BPETokenizer) or cached.vocab_size != self.vocab_size:
            raise DataError(f"{path}: not the tokenizer it is named after; delete it")
        return cached

    def _learn(self, train_texts: Texts) -> list[str]:
        """Learned pieces in rank order, the alphabet last."""
        import sentencepiece

        model = io.BytesIO()
        lines = _Lines(_training_lines(train_texts, self.train_bytes, self.symbols))
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines,
                model_writer=model,
                model_type="bpe",
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
        pieces = [processor.id_to_piece(index) for index in range(_FIRST_PIECE_ID, processor.vocab_size())]
        if _FIRST_PIECE_ID + len(self.symbols) + len(pieces) != self.vocab_size:
            raise DataError(self._at_most(len(pieces) + _FIRST_PIECE_ID + len(self.symbols)))
        merged, alphabet = [p for p in pieces if len(p) > 1], [p for p in pieces if len(p) == 1]
        return merged + alphabet

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
