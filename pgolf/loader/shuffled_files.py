"""Windows in random order, each rank from files of its own.

Rank r of W has the shards r, r + W, …. Each is entered at a random phase below T and cut into windows that do not
overlap; a batch takes them one at a time from a shard chosen with probability ∝ windows left, in random order within
it. When all are used up, all shards are entered anew. The generator is PCG64 seeded by r alone.
Source: #1394; in #1530 to #1855 for calibration. Cost in bytes: none. Cost in time: a memory-map read and a choice
among the shards per window. Hurts: it needs W shards at least, and the data of a step depends on W; ``shuffled`` has
one order for all ranks, and no phases. The run's seed does not change the order.
"""

# B windows of one micro-step on one rank, T positions

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import NonNegativeInt, PositiveInt
from pgolf.data.shards import ShardSlice
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.shards import Shards
from pgolf.loader.stream import check_batch


def build(
    *,
    prefetch: bool,
    slices: Sequence[ShardSlice],
    batch_tokens: PositiveInt,
    window: PositiveInt,
    accumulation: PositiveInt,
    rank: NonNegativeInt,
    world: PositiveInt,
    seed: NonNegativeInt,
    bos_id: NonNegativeInt,
) -> Loader:
    """The loader of ``loader=shuffled_files``; with ``prefetch`` one batch is read ahead on a thread.

    ``seed`` and ``bos_id`` are what every loader is given; as published, the first changes nothing.
    """
    check_batch(batch_tokens, window, accumulation, rank, world)
    whole = [piece for piece in slices if len(piece)]
    if len(whole) < world:
        raise DataError(
            f"loader: {world} ranks need {world} training shards, one each at least; there are {len(whole)}"
        )
    loader = ShuffledFiles(Shards(whole[rank::world]), window, batch_tokens // (world * accumulation * window), rank)
    return Prefetch(loader) if prefetch else loader


class ShuffledFiles:
    """``count`` windows a batch from the shards of one rank."""

    by_rank = True

    def __init__(self, shards: Shards, window: int, count: int, rank: int) -> None:
        self._shards, self._window, self._count = shards, window, count
        if max(shards.lengths) <= window:
            raise DataError(
                f"loader: no training shard of rank {rank} has the {window + 1:,} tokens of a window and its targets; "
                f"the longest has {max(shards.lengths):,}"
            )
        self._random = np.random.Generator(np.random.PCG64(rank))
        self._enter()

    def _enter(self) -> None:
        """Cut every shard anew."""
        self._entered = self._saved_random()
        self._left = [self._cut(length) for length in self._shards.lengths]
        self._whole = [len(starts) for starts in self._left]

    def _cut(self, length: int) -> list[int]:
        most = min(self._window - 1, max(0, length - self._window - 1))
        phase = int(self._random.integers(most + 1)) if most else 0
        return (phase + self._random.permutation((length - 1 - phase) // self._window) * self._window).tolist()

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        left = np.array([len(starts) for starts in self._left], dtype=np.float64)
        places = []
        for _ in range(self._count):
            if not left.any():
                self._enter()
                left = np.array(self._whole, dtype=np.float64)
            shard = int(self._random.choice(len(left), p=left / left.sum()))
            places.append((shard, self._left[shard].pop()))
            left[shard] -= 1
        return self._shards.windows(places, self._window)

    def _saved_random(self) -> str:
        return json.dumps(self._random.bit_generator.state)  # its integers have 128 bits

    def state(self) -> dict[str, Any]:
        """``entered``: the generator before the shards were last cut; cutting them again and going on to ``taken``
        is what restores them."""
        taken = [whole - len(starts) for whole, starts in zip(self._whole, self._left, strict=True)]
        return {
            "lengths": list(self._shards.lengths),
            "entered": self._entered,
            "taken": taken,
            "random": self._saved_random(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises DataError for the state of other shards."""
        self._shards.check_state(state)
        self._random.bit_generator.state = json.loads(state["entered"])
        self._enter()
        for starts, taken in zip(self._left, state["taken"], strict=True):
            del starts[len(starts) - int(taken) :]
        self._random.bit_generator.state = json.loads(state["random"])

    def close(self) -> None:
        """Nothing to let go of: the shards are memory maps."""
