"""Training tokens as one virtual stream over shards, for loaders to read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgolf.core.errors import DataError
from pgolf.data.shards import ShardSlice


class TokenStream:
    """``take`` reads anywhere; the stream wraps at its end. ``total`` tokens."""

    def __init__(self, slices: Sequence[ShardSlice]) -> None:
        self._slices = tuple(piece for piece in slices if len(piece))
        self.total = sum(len(piece) for piece in self._slices)
        self._starts = np.cumsum([0] + [len(piece) for piece in self._slices])
        self._open: dict[int, np.ndarray] = {}

    def take(self, start: int, count: int) -> np.ndarray:
        """``count`` tokens of the endless stream from ``start`` on: int64 [count]."""
        out = np.empty(count, dtype=np.int64)
        filled = 0
        while filled < count:
            place = (start + filled) % self.total
            index = int(np.searchsorted(self._starts, place, side="right")) - 1
            inside = place - int(self._starts[index])
            part = self._tokens(index)[inside : inside + count - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
        return out

    def _tokens(self, index: int) -> np.ndarray:
        if index not in self._open:
            self._open[index] = self._slices[index].open()
        return self._open[index]

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise DataError for a saved position that belongs to another stream."""
        if state["total"] != self.total:
            raise DataError(f"loader: the saved position belongs to a stream of {state['total']:,}, not {self.total:,}")


def check_batch(batch_tokens: int, window: int, accumulation: int, rank: int, world: int) -> None:
    """Raise DataError unless a step's tokens divide into whole windows for every rank and micro-step."""
    if batch_tokens % (world * accumulation * window):
        raise DataError(
            f"loader: batch_tokens {batch_tokens:,} is no multiple of world x accumulation x window = "
            f"{world} x {accumulation} x {window:,}"
        )
    if not 0 <= rank < world:
        raise DataError(f"loader: rank {rank} is out of range: from 0 to {world - 1}")
