"""Squared leaky ReLU whose slope each hidden unit learns: ``W₂ · (max(h,0) + σ(α_j)·min(h,0))²``, ``h = W₁x``.

α = 0 gives exactly LeakyReLU(½)². α belongs to the visit, as all control scalars do: visits that share matrices
have slopes of their own, and an untied MLP brings none.
Source: #1026 (1.2246 against 1.2252 bits per byte at 2,000 steps; +0.005 in a later test); spec arch §10.1.
Cost in bytes: m fp16 values per visit. Cost in step time: +3 %. Hurts: the submission itself ran without it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pgolf.arch.base import FeedForward, Linear, Part
from pgolf.arch.dims import Dims


class Slope(Part):
    """``(max(h,0) + σ(α)⊙min(h,0))²`` with one α per hidden unit."""

    alone = True

    alpha: nn.Parameter

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.declare("alpha", torch.zeros(hidden), group="scalar", storage="keep_fp16", component="mlp")

    def forward(self, h_BTM: Tensor) -> Tensor:
        slope_M = self.alpha.sigmoid().to(h_BTM.dtype)
        return (h_BTM.clamp(min=0) + slope_M * h_BTM.clamp(max=0)).square()


class PolyGLUSlope(FeedForward):
    alone = True

    def __init__(self, *, dims: Dims) -> None:
        super().__init__()
        self.hidden = dims.mlp_hidden
        self.up = Linear(dims.width, dims.mlp_hidden, "mlp")
        self.down = Linear(dims.mlp_hidden, dims.width, "mlp", writes_residual=True)

    def own_activation(self) -> Slope:
        """The activation that one visit owns."""
        return Slope(self.hidden)

    def forward(self, h_BTD: Tensor, activation: Slope) -> Tensor:
        return self.down(activation(self.up(h_BTD)))
