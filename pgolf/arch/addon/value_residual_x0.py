"""Shortcut from the stream's start: after each block, a learned share of x0 is added again.

``x ← x + λ_v·x0`` after the MLP, one scalar per visit. Called a value residual in its sources, where it
shares a flag with the quite different ``value_residual_v0``.
Source: #430, #824, #860; spec arch §5.
Cost: 1 fp32 weight per visit. Time: one elementwise pass per block.
Identity at the start (λ_v = 0). It hurts nowhere known; the −0.002 bits per byte claimed for it are unmeasured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit


class Shortcut(Part):
    """The site ``block_out`` of one visit."""

    alone = True

    strength: nn.Parameter

    def __init__(self, start: float) -> None:
        super().__init__()
        self.declare_control("strength", torch.tensor(start), "value_residual")

    def forward(self, y_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        return y_BTD + self.strength * context.x0_BTD


class ValueResidualX0(Addon):
    """The specification; ``start`` is λ_v at step 0."""

    sites = ("block_out",)
    order = 10

    def __init__(self, *, start: float) -> None:
        self.start = start

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> Shortcut:
        return Shortcut(self.start)
