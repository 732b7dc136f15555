"""The whole U-Net several times, each pass with skips of its own and told by a learned vector (#687's later form).

Shapes: L loops, D model.

``x ← UNet(x + v_l)`` for l = 0, …, loops−1, with v [L, D] = 0 at the start; matrices, scalars and skip weights are
shared by all passes, x0 stays, nothing is normed between them. The source calls v ``loop_gates``.
Source: #687, 8 layers twice; spec arch §8.4. Its other form, one U-Net over the effective depth, is ``stack_loop``.
Cost: loops·D scalars in fp32. A step costs ``loops`` times as much.
Hurts: 1.1563 bits per byte at 119 ms a step, against some 1.1285 at 84 ms of eleven layers of their own.
"""

from __future__ import annotations

import torch
from torch import nn

from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.recurrence.base import Recurrence
from pgolf.arch.visits import Route, Visit, passes
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt


class UNetLoop(Recurrence):
    """One route, ``loops``; with ``loops: 1`` it is the plain model and a vector added to its start."""

    alone = True

    vectors: nn.Parameter

    def __init__(self, *, dims: Dims, loops: PositiveInt) -> None:
        super().__init__()
        if loops < 1:
            raise ConfigError(f"arch.recurrence.loops: {loops} is out of range: at least 1")
        self.layers, self.loops = dims.layers, loops
        self.declare_control("vectors", torch.zeros(loops, dims.width))

    def routes(self) -> tuple[Route, ...]:
        return (passes("loops", self.layers, self.loops),)

    def before_visit(self, visit: Visit, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if visit.physical:
            return stream
        return tuple(x_BTD + self.vectors[visit.number] for x_BTD in stream)
