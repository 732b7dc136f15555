"""Two residual lanes, written at once: attention reads lane 0, the MLP lane 1 as it is.

``A = a⊙Attn(n(r₀⊙lane0 + r₁⊙x0))`` and ``M = b⊙MLP(n(lane1))`` from the lanes as they were; then
``lane_k ← ρₖ·lane_k + π₀ₖ·A + π₁ₖ·M``. The head reads the mean of the lanes, or one of them (``merge``). Skips
enter lane 0 only. ρ starts at 1.1, π at 1; with ρ = π = 1, r = (1, 0) and no skip after the split it is p3.
Source: #1529 (skip before the split), #1855 (after it: ``split_skip: lane0``); spec arch §9.
Cost in bytes: six fp32 scalars for each layer from ``start`` on. Cost in step time: a few elementwise passes
over a second stream; the two sublayers could run side by side. 1.0758 against 1.0778 bits per byte (#1523).
Hurts: with one lane as ``merge`` the last layer's writes to the other are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.lanes.two import COLUMNS, Allocate, TwoLanes, add_write
from pgolf.arch.visits import Visit
from pgolf.core.ranges import NonNegativeInt, PositiveFloat


class P4(TwoLanes):
    """``split_skip``: whether the skip of the first block with lanes enters both (before the split) or lane 0."""

    alone = True
    columns = COLUMNS
    keep: nn.Parameter  # ρ [layers, lane]
    attention_writes: nn.Parameter  # π₀ [layers, lane]
    mlp_writes: nn.Parameter  # π₁ [layers, lane]

    def __init__(
        self,
        *,
        dims: Dims,
        start: NonNegativeInt,
        keep: PositiveFloat,
        merge: Literal["mean", "mlp", "attn"],
        split_skip: Literal["both", "lane0"],
        allocate: Allocate,
    ) -> None:
        super().__init__(dims, start, allocate)
        self.merged, self.split_skip = merge, split_skip
        self.declare_control("keep", torch.full((self.rows, 2), float(keep)), "lanes")
        self.declare_control("attention_writes", torch.ones(self.rows, 2), "lanes")
        self.declare_control("mlp_writes", torch.ones(self.rows, 2), "lanes")

    def run(self, block: Block, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if block.visit.physical < self.start:
            return super().run(block, stream, context)
        before = self.split(stream)
        row = self.row(block.visit.physical)
        attended = block.attend(block.read(before[0], context), context)
        fed = block.feed_forward(before[1], context)
        lane0, lane1 = (
            add_write(
                before[k],
                self.keep[row, k],
                (self.attention_writes[row, k], attended),
                (self.mlp_writes[row, k], fed),
            )
            for k in (0, 1)
        )
        return lane0, block.leave(lane1, before[1], context)

    def add_skip(self, stream: ResidualStream, add: Callable[[Tensor], Tensor], visit: Visit) -> ResidualStream:
        if len(stream) == 1 and not (self.split_skip == "lane0" and visit.physical >= self.start):
            return (add(stream[0]),)
        lane0, lane1 = self.split(stream)
        return add(lane0), lane1

    def merge(self, stream: ResidualStream) -> Tensor:
        lane0, lane1 = self.split(stream)
        if self.merged == "mean":
            return 0.5 * (lane0 + lane1)
        return lane1 if self.merged == "mlp" else lane0
