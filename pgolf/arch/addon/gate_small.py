"""Gate G4: each attention head opens as a linear function of its input says, started small and half open.

Shapes: B batch, T time, D model, H query heads, K head size.

``y_h ← σ(Wx)_h · y_h``, W from N(0, 0.01²), which is about 0.5 at the start. Source: #1736, spec arch §6.
Cost in bytes: H·D fp16 numbers per visit (4,096 at record; #1736 stored them as int8 rows). Cost in step
time: one small product.
When it hurts: it halves attention at the start, so the learning rates of the projections must suit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.gating import Gating, HeadGate
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveFloat


class GateSmall(Gating):
    def __init__(self, *, weight_std: PositiveFloat) -> None:
        self.weight_std = weight_std

    def part(self, dims: Dims) -> nn.Module:
        return SmallGate(dims, self.weight_std)


class SmallGate(HeadGate):
    weight: nn.Parameter

    def __init__(self, dims: Dims, weight_std: float) -> None:
        super().__init__()
        self.declare_weight(torch.empty(dims.heads, dims.width).normal_(0.0, weight_std))

    def gate(self, h_BTD: Tensor) -> Tensor:
        return torch.sigmoid(F.linear(h_BTD, self.weight))
