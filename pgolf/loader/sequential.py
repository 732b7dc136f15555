"""One endless stream over the sorted shards, dealt to ranks in strides.

With G = batch tokens, W ranks, A accumulation steps and L = G / (W A), each micro-step takes W (L + 1) tokens
of the stream; rank r uses tokens [r (L + 1), (r + 1)(L + 1)), x the first L of them, y the same shifted by
one, both reshaped to windows of T. The stream wraps at its end; windows cross document boundaries; nothing is
random, and the tokens of an optimizer step are the same for every W as long as W A is.
Source: baseline of openai/parameter-golf. Cost: none in bytes; a memory map read per batch.
Hurts: neighbouring windows share documents, so batches are less diverse than shuffled ones.
"""

# B windows of one micro-step on one rank, T positions, N tokens of a shard

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import Between
from pgolf.data.shards import ShardSlice
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.stream import TokenStream, check_batch


def build(
    *,
    prefetch: bool,
    slices: Sequence[ShardSlice],
    batch_tokens: Annotated[int, Between(1)],
    window: Annotated[int, Between(1)],
    accumulation: Annotated[int, Between(1)],
    rank: Annotated[int, Between(0)],
    world: Annotated[int, Between(1)],
    seed: Annotated[int, Between(0)],
    bos_id: Annotated[int, Between(0)],
) -> Loader:
    """The loader of ``loader=sequential``; with ``prefetch`` one batch is read ahead on a thread.

    ``seed`` and ``bos_id`` are what every loader is given; here nothing is random and no document is looked for.
    """
    loader = Sequential(
        slices=slices,
        batch_tokens=batch_tokens,
        window=window,
        accumulation=accumulation,
        rank=rank,
        world=world,
    )
    return Prefetch(loader) if prefetch else loader


class Sequential:
    """``slices`` are the training tokens in order; one ``next_batch`` is one micro-step."""

    by_rank = False

    def __init__(
        self,
        *,
        slices: Sequence[ShardSlice],
        batch_tokens: int,
        window: int,
        accumulation: int,
        rank: int,
        world: int,
    ) -> None:
        check_batch(batch_tokens, window, accumulation, rank, world)
        self._stream = TokenStream(slices)
        self._window = window
        self._span = batch_tokens // (world * accumulation) + 1
        self._rank, self._world = rank, world
        if self._stream.total < self._span:
            raise DataError(
                f"loader: {self._stream.total:,} training tokens are fewer than one micro-step of {self._span:,}"
            )
        self._position = 0
        self._batches = 0

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        mine = self._stream.take(self._position + self._rank * self._span, self._span)
        self._position = (self._position + self._world * self._span) % self._stream.total
        self._batches += 1
        tokens = torch.from_numpy(mine)
        return tokens[:-1].view(-1, self._window), tokens[1:].view(-1, self._window)

    def state(self) -> dict[str, Any]:
        return {"position": self._position, "batches": self._batches, "total": self._stream.total}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises DataError for the state of another stream."""
        self._stream.check_state(state)
        self._position, self._batches = int(state["position"]), int(state["batches"])

    def close(self) -> None:
        """Nothing to let go of: the shards are memory maps."""
