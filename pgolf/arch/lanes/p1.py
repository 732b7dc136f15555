"""Two residual lanes, written in turn: attention reads lane 0, then the MLP reads lane 1; both write to both.

``A = a⊙Attn(n(r₀⊙lane0 + r₁⊙x0))``, ``lane_k ← ρ₀·lane_k + π₀ₖ·A``; then ``M = b⊙MLP(n(r₀⊙lane1 + r₁⊙x0))``,
``lane_k ← ρ₁·lane_k + π₁ₖ·M``. The head reads the mean of the lanes; skips enter both. ρ starts at √1.1, π at 1;
with ρ = π = 1 and r = (1, 0) it is the sequential block. ``mlp_writes: own`` forbids the MLP to write to lane 0.
Source: #1204, after modded-nanogpt #230; spec arch §9.
Cost in bytes: six fp32 scalars (five) for each layer from ``start`` on. Cost in step time: a few elementwise
passes over a second stream, within the 96.1 ms of #1204's step. 1.1078 → 1.1056 bits per byte, one sample.
Hurts: the MLP learns to write next to nothing to lane 0 (0.01–0.39), yet forbidding it was slightly worse.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.lanes.two import COLUMNS, Allocate, TwoLanes, add_write
from pgolf.core.ranges import NonNegativeInt, PositiveFloat


class P1(TwoLanes):
    alone = True
    reads = 2
    columns = COLUMNS
    keep: nn.Parameter  # ρ [layers, after attention | after the MLP]
    attention_writes: nn.Parameter  # π₀ [layers, lane]
    mlp_writes: nn.Parameter  # π₁ [layers, lane], or lane 1 alone

    def __init__(
        self,
        *,
        dims: Dims,
        start: NonNegativeInt,
        keep: PositiveFloat,
        mlp_writes: Literal["both", "own"],
        allocate: Allocate,
    ) -> None:
        super().__init__(dims, start, allocate)
        self.crosses = mlp_writes == "both"
        if not self.crosses:
            self.columns = {**COLUMNS, "mlp_writes": COLUMNS["mlp_writes"][1:]}
        self.declare_control("keep", torch.full((self.rows, 2), float(keep)), "lanes")
        self.declare_control("attention_writes", torch.ones(self.rows, 2), "lanes")
        self.declare_control("mlp_writes", torch.ones(self.rows, 2 if self.crosses else 1), "lanes")

    def run(self, block: Block, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if block.visit.physical < self.start:
            return super().run(block, stream, context)
        before0, before1 = self.split(stream)
        row = self.row(block.visit.physical)
        keep, attention, mlp = self.keep[row], self.attention_writes[row], self.mlp_writes[row]
        attended = block.attend(block.read(before0, context), context)
        lane0 = add_write(before0, keep[0], (attention[0], attended))
        lane1 = add_write(before1, keep[0], (attention[1], attended))
        fed = block.feed_forward(block.read(lane1, context), context)
        lane0 = add_write(lane0, keep[1], (mlp[0], fed if self.crosses else None))
        lane1 = add_write(lane1, keep[1], (mlp[-1], fed))
        return lane0, block.leave(lane1, before1, context)
