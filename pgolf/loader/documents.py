"""Documents in a row: each rank's tokens of a micro-step are one row, which attention parts into segments.

Shards are read in order, each from its first BOS on. With G = batch tokens, W ranks, A micro-steps a step and L = G /
(W A), an optimizer step takes the next W A (L + 1) tokens; micro-step a of rank r has those of piece a W + r, x the
first L of them and y the same shifted by one, as one row [1, L]. A shard's tail that is shorter than a step is
dropped; after the last shard comes the first.
A segment begins at the row's start, at every BOS and, inside a document, after every T tokens: those are the
cumulative lengths of a row. They are a function of its tokens alone, and so ``arch/attention=packed``, which this
loader asks for, finds them there: a batch is x and y as every loader's is, of one shape, and nothing is compiled anew
for a row with more documents.
Source: #1530 onward (variable-length attention; spec data §4.4). There a micro-step is what must fit into a shard
(``take: micro_step``), so that what is dropped depends on W.
Cost in bytes: none. Cost in time: one read from a memory map. Hurts: neighbouring rows share documents, as in
``sequential``; what attention costs over a row stands in ``packed``.
"""

# L positions of a row

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import NonNegativeInt, PositiveInt
from pgolf.data.shards import ShardSlice
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.shards import Shards
from pgolf.loader.stream import check_batch

_AT_ONCE = 1 << 16


def build(
    *,
    take: Literal["step", "micro_step"],
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
    """The loader of ``loader=documents``; with ``prefetch`` one batch is read ahead on a thread.

    ``seed`` is what every loader is given; here nothing is random.
    """
    check_batch(batch_tokens, window, accumulation, rank, world)
    row = batch_tokens // (world * accumulation)
    parts = accumulation if take == "step" else 1
    loader = PackedRows(Shards(slices), row, bos_id, lanes=(rank, world, parts))
    return Prefetch(loader) if prefetch else loader


build.makes_rows = True  # type: ignore[attr-defined]


class PackedRows:
    """Rows of ``row`` tokens; ``lanes`` = (rank, world, micro-steps that are taken at once)."""

    by_rank = False

    def __init__(self, shards: Shards, row: int, bos_id: int, *, lanes: tuple[int, int, int]) -> None:
        self._shards, self._row, self._bos_id = shards, row, bos_id
        self._rank, self._world, self._parts = lanes
        self._span = (row + 1) * self._world * self._parts
        if not any(self._holds_a_row(shard) for shard in range(len(shards.lengths))):
            raise DataError(
                f"loader: no training shard has {self._span:,} tokens in a row, from a document's start on; the "
                f"longest has {max(shards.lengths, default=0):,}. Fewer train.batch_tokens or a larger "
                "size.shard_tokens help"
            )
        self._shard, self._part = 0, 0
        self._cursor = self._first(0)

    def _holds_a_row(self, shard: int) -> bool:
        length = self._shards.lengths[shard]
        return length >= self._span and self._first(shard) + self._span <= length

    def _first(self, shard: int) -> int:
        """The first BOS; 0 where a shard has none."""
        tokens_N = self._shards.tokens(shard)
        for start in range(0, len(tokens_N), _AT_ONCE):
            found = np.flatnonzero(tokens_N[start : start + _AT_ONCE] == self._bos_id)
            if len(found):
                return start + int(found[0])
        return 0

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_1L, y_1L)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        while self._cursor + self._span > self._shards.lengths[self._shard]:
            self._shard = (self._shard + 1) % len(self._shards.lengths)
            self._cursor = self._first(self._shard)
        start = self._cursor + (self._part * self._world + self._rank) * (self._row + 1)
        found = self._shards.windows([(self._shard, start)], self._row)
        self._part = (self._part + 1) % self._parts
        if self._part == 0:
            self._cursor += self._span
        return found

    def state(self) -> dict[str, Any]:
        return {
            "lengths": list(self._shards.lengths),
            "shard": self._shard,
            "cursor": self._cursor,
            "part": self._part,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises DataError for the state of other shards."""
        self._shards.check_state(state)
        self._shard, self._cursor, self._part = (int(state[key]) for key in ("shard", "cursor", "part"))

    def close(self) -> None:
        """Nothing to let go of: the shards are memory maps."""
