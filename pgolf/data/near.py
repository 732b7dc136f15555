"""Is any document of validation or dev nearly in training? By the runs of 13 words (shingles) that both have.

A document that is three characters longer has another hash and the same text. Source: shingles (Broder 1997), of 13
words as the decontamination of large corpora has them. Cost: a second for ten million bytes of text; nothing is kept of
the training text.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field

import numpy as np

from pgolf.core.errors import DataError

SHINGLE_WORDS = 13
# Of a document's shingles. In the embedded text the two that share most, messages of one president in two years, have
# 16 in a hundred in common with training; most have none.
MOST_SHARED = 0.5
_NAMED = 5
_WORD = re.compile(r"\w{1,8}|[^\w\s]")  # what has no spaces is cut every eight letters
_FACTORS = np.random.default_rng(13).integers(1, 2**63, SHINGLE_WORDS, dtype=np.uint64) | np.uint64(1)


def shingles(text: str) -> np.ndarray:
    """uint64, sorted, each once: a hash of every 13 consecutive words; empty for a document with fewer."""
    words = _WORD.findall(text)
    count = len(words) - SHINGLE_WORDS + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    hash_n = np.fromiter((zlib.crc32(word.encode()) for word in words), dtype=np.uint64, count=len(words))
    mixed = np.zeros(count, dtype=np.uint64)
    for offset, factor in enumerate(_FACTORS):
        mixed += (hash_n[offset : offset + count] + np.uint64(1)) * factor  # wraps around
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)


@dataclass(slots=True)
class NearOverlap:
    """Hold documents first, then ``see`` those of training; ``require_none`` then raises, or says what is shared most.

    ``names, sizes``: of each held document, and its number of shingles.
    """

    names: list[tuple[str, str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _held: list[np.ndarray] = field(default_factory=list)
    _hash_S: np.ndarray | None = None
    _owner_S: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _seen_S: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    _nearest: dict[int, tuple[int, str]] = field(default_factory=dict)

    def hold(self, split: str, name: str, text: str) -> None:
        assert self._hash_S is None, "training has begun"
        found = shingles(text)
        self.names.append((split, name))
        self.sizes.append(len(found))
        self._held.append(found)

    def see(self, name: str, text: str) -> None:
        """A training document."""
        hash_S = self._index()
        mine = shingles(text)
        if not len(mine) or not len(hash_S):
            return
        first, last = np.searchsorted(hash_S, mine, "left"), np.searchsorted(hash_S, mine, "right")
        runs = [np.arange(start, stop) for start, stop in zip(first, last, strict=True) if start < stop]
        shared = np.concatenate([np.zeros(0, dtype=np.int64), *runs])
        self._seen_S[shared] = True
        count_D = np.bincount(self._owner_S[shared], minlength=len(self.names))
        for document in np.flatnonzero(count_D):
            most = self._nearest.get(int(document), (0, ""))
            self._nearest[int(document)] = max(most, (int(count_D[document]), name), key=lambda pair: pair[0])

    def shares(self) -> np.ndarray:
        """float64 [held documents]: which part of their shingles is in training, in whatever document."""
        self._index()
        seen_D = np.bincount(self._owner_S[self._seen_S], minlength=len(self.names))
        return seen_D / np.maximum(self.sizes, 1)

    def require_none(self, where: str, tolerance: float = 0.0) -> float:
        """Raise DataError naming the pairs if more than ``tolerance`` of the held documents are nearly in training.

        Returns the largest share of one that is not.
        """
        share_D = self.shares()
        near = np.flatnonzero(share_D >= MOST_SHARED)
        if len(near) <= tolerance * len(self.names):
            return float(share_D[share_D < MOST_SHARED].max(initial=0.0))
        shown = "; ".join(self._told(int(document), share_D[document]) for document in near[:_NAMED])
        more = f" and {len(near) - _NAMED} more" if len(near) > _NAMED else ""
        raise DataError(
            f"{where}: {len(near)} of {len(self.names)} held-out documents are nearly in training too, by their runs "
            f"of {SHINGLE_WORDS} words: {shown}{more}. Remove them from one side: a score on text that was trained on "
            "means nothing"
        )

    def _told(self, document: int, share: float) -> str:
        split, name = self.names[document]
        return f"{split} {name!r} shares {share:.0%}, most of it with train {self._nearest[document][1]!r}"

    def _index(self) -> np.ndarray:
        """All held shingles in order, each with its owner; one that several documents have stands once for each."""
        if self._hash_S is None:
            hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *self._held])
            owners = np.repeat(np.arange(len(self.names)), self.sizes)
            order = np.argsort(hashes, kind="stable")
            self._hash_S, self._owner_S = hashes[order], owners[order]
            self._seen_S = np.zeros(len(hashes), dtype=bool)
            self._held.clear()
        return self._hash_S
