"""The learning rate of each chunk, for every rule. No option."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """``lr · (f + (1−f)·½(1 + cos(πk/(n−1)))) · (1 + (r−1)·min(1, k/(sn)))`` in chunk k of n.

    f is ``final``, r ``rise``, s ``rise_share``. The second factor is #687's "adaptive" rate, with r = 3 and s = 0.3;
    r = 1 leaves it out.
    """

    lr: float
    final: float
    rise: float
    rise_share: float

    def at(self, chunk: int, chunks: int) -> float:
        """Of the chunk with that number, the first being 0; one past the last has the last one's."""
        chunk = min(chunk, chunks - 1)
        cosine = 0.5 * (1 + math.cos(math.pi * chunk / (chunks - 1))) if chunks > 1 else 1.0
        risen = min(1.0, chunk / (self.rise_share * chunks))
        return self.lr * (self.final + (1 - self.final) * cosine) * (1 + (self.rise - 1) * risen)
