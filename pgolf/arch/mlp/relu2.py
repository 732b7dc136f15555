"""Squared-ReLU MLP: ``W₂ · relu(W₁ x)²``. Source: spec arch §2. Two matrices, 2·D·M weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.dims import Dims
from pgolf.arch.part import Linear, Part


class ReLU2(Part):
    def __init__(self, *, dims: Dims) -> None:
        super().__init__()
        self.up = Linear(dims.width, dims.mlp_hidden, "mlp")
        self.down = Linear(dims.mlp_hidden, dims.width, "mlp", writes_residual=True)

    def forward(self, h_BTD: Tensor) -> Tensor:
        return self.down(F.relu(self.up(h_BTD)).square())
