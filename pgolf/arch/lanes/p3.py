"""Attention and MLP side by side on one stream, as in GPT-J: both read what the block read.

``u = r₀⊙x + r₁⊙x0;  x ← u + a⊙Attn(n(u)) + b⊙MLP(n(u))`` from the layer ``start`` on.
Source: #1412, #1493 (after GPT-J); spec arch §9. There it mainly shrank the gap that quantization opens.
Cost: no parameters; in step time nothing, the two sublayers could even run side by side.
Hurts: the MLP no longer sees what its own layer's attention found.

One stream needs no joining and its skips are whole, so it fits every route; ``start`` 0 makes all blocks parallel.
"""

from __future__ import annotations

from collections.abc import Mapping

from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import Lanes, ResidualStream
from pgolf.arch.lanes.two import check_start
from pgolf.arch.visits import Route
from pgolf.core.ranges import NonNegativeInt


class P3(Lanes):
    """``start`` is the first physical layer whose sublayers run side by side."""

    alone = True

    def __init__(self, *, dims: Dims, start: NonNegativeInt) -> None:
        super().__init__()
        self.start = start

    def run(self, block: Block, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if block.visit.physical < self.start:
            return super().run(block, stream, context)
        (x_BTD,) = stream
        u_BTD = block.read(x_BTD, context)
        y_BTD = u_BTD
        for written_BTD in (block.attend(u_BTD, context), block.feed_forward(u_BTD, context)):
            if written_BTD is not None:
                y_BTD = y_BTD + written_BTD
        return (block.leave(y_BTD, x_BTD, context),)

    def check(self, routes: Mapping[str, Route], layers: int) -> None:
        check_start(self.start, layers)
