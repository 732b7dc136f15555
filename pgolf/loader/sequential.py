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

import numpy as np
import torch
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import Between
from pgolf.data.shards import ShardSlice
from pgolf.loader.prefetch import Prefetch


def build(
    *,
    prefetch: bool,
    slices: Sequence[ShardSlice],
    batch_tokens: Annotated[int, Between(1)],
    window: Annotated[int, Between(1)],
    accumulation: Annotated[int, Between(1)],
    rank: Annotated[int, Between(0)],
    world: Annotated[int, Between(1)],
) -> Loader:
    """The loader of ``loader=sequential``; with ``prefetch`` one batch is read ahead on a thread."""
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
        if batch_tokens % (world * accumulation * window):
            raise DataError(
                f"loader: batch_tokens {batch_tokens:,} is no multiple of world x accumulation x window = "
                f"{world} x {accumulation} x {window:,}"
            )
        if not 0 <= rank < world:
            raise DataError(f"loader: rank {rank} is out of range: from 0 to {world - 1}")
        self._slices = tuple(piece for piece in slices if len(piece))
        self._total = sum(len(piece) for piece in self._slices)
        self._window = window
        self._span = batch_tokens // (world * accumulation) + 1
        self._rank, self._world = rank, world
        if self._total < self._span:
            raise DataError(
                f"loader: {self._total:,} training tokens are fewer than one micro-step of {self._span:,}"
            )
        self._starts = np.cumsum([0] + [len(piece) for piece in self._slices])
        self._open: tuple[int, np.ndarray] | None = None
        self._position = 0
        self._batches = 0

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        mine = self._take(self._position + self._rank * self._span, self._span)
        self._position = (self._position + self._world * self._span) % self._total
        self._batches += 1
        tokens = torch.from_numpy(mine)
        return tokens[:-1].view(-1, self._window), tokens[1:].view(-1, self._window)

    def _take(self, start: int, count: int) -> np.ndarray:
        """``count`` tokens of the endless stream from ``start`` on: int64 [count]."""
        out = np.empty(count, dtype=np.int64)
        filled = 0
        while filled < count:
            place = (start + filled) % self._total
            index = int(np.searchsorted(self._starts, place, side="right")) - 1
            inside = place - int(self._starts[index])
            part = self._tokens(index)[inside : inside + count - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
        return out

    def _tokens(self, index: int) -> np.ndarray:
        """The memory map of one slice; only the current one is held open."""
        if self._open is None or self._open[0] != index:
            self._open = (index, self._slices[index].open())
        return self._open[1]

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position, "batches": self._batches, "total": self._total}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises DataError for the state of another stream."""
        if state["total"] != self._total:
            raise DataError(
                f"loader: the saved position belongs to a stream of {state['total']:,}, not {self._total:,}"
            )
        self._position, self._batches = int(state["position"]), int(state["batches"])
