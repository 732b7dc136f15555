"""Shards that a loader reads windows from: each by its place in the list, memory-mapped when first read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.data.shards import ShardSlice


class Shards:
    """``lengths``: tokens of each. Empty slices are left out."""

    def __init__(self, slices: Sequence[ShardSlice]) -> None:
        self.slices = tuple(piece for piece in slices if len(piece))
        self.lengths = [len(piece) for piece in self.slices]
        self._open: dict[int, np.ndarray] = {}

    def tokens(self, shard: int) -> np.ndarray:
        """The memory map of a shard, uint16."""
        if shard not in self._open:
            self._open[shard] = self.slices[shard].open()
        return self._open[shard]

    def windows(self, places: Sequence[tuple[int, int]], window: int) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 of the windows that begin at (shard, token)."""
        rows = np.empty((len(places), window + 1), dtype=np.int64)
        for row, (shard, start) in zip(rows, places, strict=True):
            row[:] = self.tokens(shard)[start : start + window + 1]
        tokens = torch.from_numpy(rows)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise DataError for a saved position that belongs to other shards."""
        if list(state["lengths"]) != self.lengths:
            raise DataError(
                f"loader: the saved position belongs to shards of {_listed(state['lengths'])} tokens, these have "
                f"{_listed(self.lengths)}"
            )


def _listed(lengths: Sequence[int]) -> str:
    shown = ", ".join(f"{length:,}" for length in lengths[:4])
    return shown + (f" and {len(lengths) - 4} more" if len(lengths) > 4 else "")
