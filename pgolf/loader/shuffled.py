"""Windows of the stream in random order, every window once an epoch, dealt to ranks in strides.

The stream is cut into non-overlapping windows of T inputs and their targets; each epoch visits them in a new
permutation (PCG64, seeded by the run's seed and the epoch). A step takes the next G/T windows of the
permutation; micro-step a of rank r takes those at a·W + r, a·W + r + W·A, …, so the tokens of an optimizer step
are the same for every W as long as W·A is. The tail shorter than a batch is dropped from an epoch.
Source: the shuffled sequences of #1394 (spec data §4.3), with one global permutation instead of one per rank.
Cost: none in bytes; a memory-map read per window. Against the sequential order a batch no longer comes from
one or two documents. Hurts: on text whose order carries meaning across windows, nothing is gained.
"""

# B windows of one micro-step on one rank, T positions

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import NonNegativeInt, PositiveInt
from pgolf.data.shards import ShardSlice
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.stream import TokenStream, check_batch


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
    """The loader of ``loader=shuffled``; with ``prefetch`` one batch is read ahead on a thread.

    ``bos_id`` is what every loader is given; here no document is looked for.
    """
    check_batch(batch_tokens, window, accumulation, rank, world)
    per_step = batch_tokens // window
    loader = Shuffled(TokenStream(slices), window, per_step, lanes=(rank, world, accumulation), seed=seed)
    return Prefetch(loader) if prefetch else loader


class Shuffled:
    """``per_step`` windows an optimizer step; ``lanes`` = (rank, world, accumulation steps)."""

    by_rank = False

    def __init__(
        self, stream: TokenStream, window: int, per_step: int, *, lanes: tuple[int, int, int], seed: int
    ) -> None:
        self._stream, self._window, self._per_step, self._seed = stream, window, per_step, seed
        self._rank, self._world, self._accumulation = lanes
        self._windows = (stream.total - 1) // window
        if self._windows < per_step:
            raise DataError(
                f"loader: {stream.total:,} training tokens hold {self._windows:,} windows of {window:,}, "
                f"fewer than the {per_step:,} of one step"
            )
        self._micro_steps = 0
        self._epoch: tuple[int, np.ndarray] | None = None

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        step, micro = divmod(self._micro_steps, self._accumulation)
        self._micro_steps += 1
        epoch, place = divmod(step, self._windows // self._per_step)
        chosen = self._permutation(epoch)[place * self._per_step : (place + 1) * self._per_step]
        mine = chosen[micro * self._world + self._rank :: self._world * self._accumulation]
        rows = np.stack([self._stream.take(int(w) * self._window, self._window + 1) for w in mine])
        tokens = torch.from_numpy(rows)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, np.random.default_rng([self._seed, epoch]).permutation(self._windows))
        return self._epoch[1]

    def state(self) -> dict[str, Any]:
        return {"micro_steps": self._micro_steps, "total": self._stream.total}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises DataError for the state of another stream."""
        self._stream.check_state(state)
        self._micro_steps = int(state["micro_steps"])

    def close(self) -> None:
        """Nothing to let go of: the shards are memory maps."""
