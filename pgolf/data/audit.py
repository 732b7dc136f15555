"""Is any document of validation or dev also in training? By hash, of text or of tokens.

A published preparation script once left 80 % of validation inside training; such a score is worthless and
nothing else would show it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pgolf.core.errors import DataError

_NAMED = 5


def text_hash(text: str) -> bytes:
    """Of the text without leading and trailing white space."""
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()


def token_hash(ids_n: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(ids_n, dtype="<u2").tobytes(), digest_size=16).digest()


@dataclass(slots=True)
class Overlap:
    """Feed it the documents of every split in any order; ``require_none`` then raises or returns the count."""

    held: dict[str, dict[bytes, str]] = field(default_factory=lambda: {"val": {}, "dev": {}})
    train: dict[bytes, str] = field(default_factory=dict)

    def add(self, split: str, name: str, digest: bytes) -> None:
        (self.train if split == "train" else self.held[split]).setdefault(digest, name)

    def found(self) -> list[tuple[str, str, str, str]]:
        """(split, name, other split, other name) of each pair of equal documents in different splits."""
        pairs = []
        for split, held in self.held.items():
            pairs += [(split, held[d], "train", self.train[d]) for d in held if d in self.train]
        val, dev = self.held["val"], self.held["dev"]
        return pairs + [("val", val[d], "dev", dev[d]) for d in val if d in dev]

    def require_none(self, where: str, tolerance: float = 0.0) -> int:
        """Raise DataError naming the documents if more than ``tolerance`` of the held-out ones recur elsewhere.

        Returns how many do. Web text repeats a few short documents, hence the tolerance for published shards.
        """
        pairs = self.found()
        total = sum(len(held) for held in self.held.values())
        if len(pairs) <= tolerance * total:
            return len(pairs)
        shown = "; ".join(f"{split} {name!r} is {other} {twin!r}" for split, name, other, twin in pairs[:_NAMED])
        more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
        raise DataError(
            f"{where}: {len(pairs)} of {total} held-out documents are in another split too: {shown}{more}. "
            "Remove the duplicates: a score on text that was trained on means nothing"
        )


def audit_tokens(splits: Mapping[str, Iterable[np.ndarray]], where: str, tolerance: float = 0.0) -> int:
    """The same for documents as token arrays, val and dev first; only training that matches is remembered."""
    overlap = Overlap()
    for split in ("val", "dev"):
        for index, ids_n in enumerate(splits[split]):
            overlap.add(split, f"document {index}", token_hash(ids_n))
    for index, ids_n in enumerate(splits["train"]):
        digest = token_hash(ids_n)
        if any(digest in held for held in overlap.held.values()):
            overlap.add("train", f"document {index}", digest)
    return overlap.require_none(where, tolerance)
