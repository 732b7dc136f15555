"""Two residual lanes, written at once, with a residual mix of their own for the MLP and a learned merge.

``A = a⊙Attn(n(r₀⊙lane0 + r₁⊙x0))`` and ``M = b⊙MLP(n(s₀⊙lane1 + s₁⊙x0))`` from the lanes as they were; then
``lane0 ← lane0 + t₀A + t₂M``, ``lane1 ← lane1 + t₁A + t₃M``. The head reads ``μ·lane0 + (1−μ)·lane1``; skips
enter both. t starts at 1, s at (1, 0), μ at ½.
Source: #1289; spec arch §9. s and t belong to the physical layer, as r does in the source.
Cost in bytes: four scalars and 2·D values in fp32 for each layer from ``start`` on, one scalar for the merge.
Cost in step time: a few elementwise passes over a second stream; the two sublayers could run side by side.
Hurts: unmeasured alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pgolf.arch.base import all_of_the_first
from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.lanes.two import COLUMNS, TwoLanes
from pgolf.core.ranges import Fraction, NonNegativeInt


class P2(TwoLanes):
    alone = True
    reads = 2
    columns = {"routes": (*COLUMNS["attention_writes"], *COLUMNS["mlp_writes"]), "mlp_mix": ("mlp x", "mlp x0")}  # noqa: RUF012
    routes: nn.Parameter  # t [layers, attention to lane 0 | attention to 1 | MLP to 0 | MLP to 1]
    mlp_mix: nn.Parameter  # s [layers, 2, D]
    lane_merge: nn.Parameter  # μ [1]

    def __init__(self, *, dims: Dims, start: NonNegativeInt, lane_merge: Fraction) -> None:
        super().__init__(dims, start, "used")
        self.declare_control("routes", torch.ones(self.rows, 4), "lanes")
        self.declare_control("mlp_mix", all_of_the_first(dims.width).repeat(self.rows, 1, 1), "lanes")
        self.declare_control("lane_merge", torch.full((1,), float(lane_merge)), "lanes")

    def run(self, block: Block, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if block.visit.physical < self.start:
            return super().run(block, stream, context)
        before0, before1 = self.split(stream)
        row = self.row(block.visit.physical)
        route = self.routes[row]
        attended = block.attend(block.read(before0, context), context)
        fed = block.feed_forward(block.read(before1, context, self.mlp_mix[row]), context)
        lane0, lane1 = before0, before1
        if attended is not None:
            lane0, lane1 = lane0 + route[0] * attended, lane1 + route[1] * attended
        if fed is not None:
            lane0, lane1 = lane0 + route[2] * fed, lane1 + route[3] * fed
        return lane0, block.leave(lane1, before1, context)

    def merge(self, stream: ResidualStream) -> Tensor:
        lane0, lane1 = self.split(stream)
        return self.lane_merge * lane0 + (1.0 - self.lane_merge) * lane1
