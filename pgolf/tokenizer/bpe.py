"""Byte-pair encoding: merge the most frequent neighbours of the training text until the vocabulary is full.

Encoding merges the earliest-learned pair first. Lossless, by ``pieces``.
Source: Sennrich et al. 2016; sentencepiece does the counting and the merging.
Cost: two numbers per merge in the artifact (about 2.4 bytes each under brotli), one embedding row per
piece; training takes about a second per 10 MB, encoding about 5 MB/s. Hurts: rows that are rarely seen are
badly trained, so a vocabulary too large for the text loses; and pieces that only lead to others keep a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from pgolf.tokenizer.pieces import LearnedRecipe, PieceTokenizer


class BPETokenizer(PieceTokenizer):
    """``pieces`` are the learned ones, in rank order, the alphabet last."""

    kind: ClassVar[str] = "bpe"
    model_type: ClassVar[Literal["unigram", "bpe"]] = "bpe"

    def __init__(self, *, name: str, symbols: Sequence[str], pieces: Sequence[str]) -> None:
        super().__init__(name=name, symbols=symbols, scores={piece: -float(rank) for rank, piece in enumerate(pieces)})

    @classmethod
    def from_learned(cls, name: str, symbols: Sequence[str], scores: Mapping[str, float]) -> BPETokenizer:
        merged, alphabet = [p for p in scores if len(p) > 1], [p for p in scores if len(p) == 1]
        return cls(name=name, symbols=symbols, pieces=merged + alphabet)

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


class BPE(LearnedRecipe):
    """Recipe of ``tokenizer=bpe``."""

    tokenizer = BPETokenizer
