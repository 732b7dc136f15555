"""A unigram language model over pieces: of all ways to cut the text, the most probable one.

``argmax Σ log p(piece)`` by Viterbi; the vocabulary begins with every frequent string and loses, round by round of
expectation-maximisation, the pieces whose loss costs the training text least. Lossless, by ``pieces``. So no piece is
kept because others were built from it: of 4,096 of byte-pair encoding on ``data=sotu`` 171 more are seen fewer than 20
times, and the text becomes 1.5 % more tokens.
Source: Kudo 2018 (subword regularization); sentencepiece does the learning and the cutting.
Cost: pieces in alphabetical order by what they add to the one before, a byte of score each; one embedding row per
piece; learning takes about 2 s per MB, three times that of ``bpe``. Hurts: as ``bpe``; words are cut by frequency, so a
rare word may be cut in an odd place.
"""

# V pieces

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from pgolf.core.errors import DataError
from pgolf.tokenizer.pieces import LearnedRecipe, PieceTokenizer

_STEPS = 255  # between the highest and the lowest score, so that one takes a byte


class UnigramTokenizer(PieceTokenizer):
    """``pieces`` in alphabetical order; the score of each is ``highest - step·level``, in nats."""

    kind: ClassVar[str] = "unigram"
    model_type: ClassVar[Literal["unigram", "bpe"]] = "unigram"

    def __init__(
        self,
        *,
        name: str,
        symbols: Sequence[str],
        pieces: Sequence[str],
        levels_V: np.ndarray,
        highest: float,
        step: float,
    ) -> None:
        self.levels_V, self.highest, self.step = levels_V, highest, step
        scores = {piece: highest - step * int(level) for piece, level in zip(pieces, levels_V, strict=True)}
        super().__init__(name=name, symbols=symbols, scores=scores)

    @classmethod
    def from_learned(cls, name: str, symbols: Sequence[str], scores: Mapping[str, float]) -> UnigramTokenizer:
        pieces = sorted(scores)
        score_V = np.array([scores[piece] for piece in pieces])
        highest = float(score_V.max())
        step = float(highest - score_V.min()) / _STEPS or 1.0
        levels_V = np.rint((highest - score_V) / step).astype(np.uint8)
        return cls(name=name, symbols=symbols, pieces=pieces, levels_V=levels_V, highest=highest, step=step)

    def to_blob(self) -> bytes:
        """Scores, then of each piece how much it shares with the one before, and what it adds."""
        from pgolf.tokenizer.blob import pack

        shared = [_shared(*pair) for pair in zip(("", *self.pieces), self.pieces, strict=False)]
        added = [piece[length:] for piece, length in zip(self.pieces, shared, strict=True)]
        header = {
            "kind": self.kind,
            "name": self.name,
            "symbols": list(self.symbols),
            "pieces": len(self.pieces),
            "highest": self.highest,
            "step": self.step,
        }
        lengths = bytes(shared) + bytes(map(len, added))
        return pack(header, self.levels_V.tobytes() + lengths + "".join(added).encode())

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> UnigramTokenizer:
        count = header["pieces"]
        if len(body) < 3 * count:
            raise DataError(f"tokenizer: the blob of kind 'unigram' is cut short ({len(body)} bytes)")
        levels_V, shared, lengths = (np.frombuffer(body, np.uint8, count, plane * count) for plane in range(3))
        text, pieces, place = body[3 * count :].decode(), [""], 0
        for kept, length in zip(shared.tolist(), lengths.tolist(), strict=True):
            pieces.append(pieces[-1][:kept] + text[place : place + length])
            place += length
        if place != len(text) or len(set(pieces)) != len(pieces):
            raise DataError("tokenizer: the blob of kind 'unigram' is damaged (pieces and their lengths disagree)")
        return cls(
            name=header["name"],
            symbols=header["symbols"],
            pieces=pieces[1:],
            levels_V=levels_V,
            highest=header["highest"],
            step=header["step"],
        )


def _shared(before: str, piece: str) -> int:
    """Characters at the start of both."""
    return next(
        (i for i, (a, b) in enumerate(zip(before, piece, strict=False)) if a != b), min(len(before), len(piece))
    )


class Unigram(LearnedRecipe):
    """Recipe of ``tokenizer=unigram``."""

    tokenizer = UnigramTokenizer
