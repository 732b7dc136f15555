"""Squared-ReLU MLP: ``W₂ · relu(W₁ x)²``, W₂ zero at the start.

Source: the public baseline; spec arch §2.
Cost in bytes: two matrices, 2·D·M weights. Cost in step time: two matrix products per token and visit.
Hurts: hidden units below zero for all inputs are dead; ``leaky_relu2`` gained 0.0021 to 0.003 bits per byte.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.base import FeedForward, Linear
from pgolf.arch.dims import Dims


class ReLU2(FeedForward):
    alone = True

    def __init__(self, *, dims: Dims) -> None:
        super().__init__()
        self.up = Linear(dims.width, dims.mlp_hidden, "mlp")
        self.down = Linear(dims.mlp_hidden, dims.width, "mlp", writes_residual=True)

    def forward(self, h_BTD: Tensor) -> Tensor:
        return self.down(F.relu(self.up(h_BTD)).square())
