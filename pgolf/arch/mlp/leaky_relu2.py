"""Squared leaky ReLU: ``W₂ · leaky(W₁ x)²``, so that no hidden unit is ever dead.

``f(x) = x²`` for x ≥ 0, ``(slope·x)²`` below; with slope 0 it is relu². The output stays ≥ 0 in the hidden layer.
Source: #493, #549 (slope ½: −0.0021 to −0.003 bits per byte); spec arch §3.
Cost in bytes: none beyond the two matrices. Cost in step
time: none measurable. Hurts: no source reports a loss.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.base import FeedForward, Linear
from pgolf.arch.dims import Dims
from pgolf.core.ranges import Fraction


class LeakyReLU2(FeedForward):
    alone = True

    def __init__(self, *, dims: Dims, slope: Fraction) -> None:
        super().__init__()
        self.slope = float(slope)
        self.up = Linear(dims.width, dims.mlp_hidden, "mlp")
        self.down = Linear(dims.mlp_hidden, dims.width, "mlp", writes_residual=True)

    def forward(self, h_BTD: Tensor) -> Tensor:
        return self.down(F.leaky_relu(self.up(h_BTD), self.slope).square())
