"""Gated MLP at the parameter count of the plain one: ``W₂ · (leaky(W_g x)² ⊙ W_v x)``, hidden size ⌊2m/3⌋.

Source: #1026, which rejected it (1.4659 against 1.4199 bits per byte); spec arch §10.1.
Cost in bytes: three matrices of D·⌊2m/3⌋ weights, as many as the plain MLP's two of D·m. Cost in step time: one
more, narrower, matrix product. Hurts: by those figures, 0.046 bits per byte.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.base import FeedForward, Linear
from pgolf.arch.dims import Dims
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction


class Gated(FeedForward):
    alone = True

    def __init__(self, *, dims: Dims, slope: Fraction) -> None:
        super().__init__()
        hidden = 2 * dims.mlp_hidden // 3
        if hidden < 1:
            raise ConfigError(f"arch.mlp_hidden: {dims.mlp_hidden} leaves a gated MLP no hidden unit; at least 2")
        self.slope = float(slope)
        self.gate = Linear(dims.width, hidden, "mlp")
        self.value = Linear(dims.width, hidden, "mlp")
        self.down = Linear(hidden, dims.width, "mlp", writes_residual=True)

    def forward(self, h_BTD: Tensor) -> Tensor:
        return self.down(F.leaky_relu(self.gate(h_BTD), self.slope).square() * self.value(h_BTD))
