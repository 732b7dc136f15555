"""Gate G3: each attention head opens as a linear function of the sublayer's input says.

Shapes: B batch, T time, D model, H query heads, K head size.

``y_h ← σ(Wx + b)_h · y_h``, W = 0, b = 4, which is 0.982 at the start. Source: #638, #733, spec arch §6.
Cost in bytes: H·(D+1) per visit (4,104 numbers at record), W in fp16. Cost in step time: one small product.
When it hurts: −0.002 was reported (#733), for a matrix 43 times that of a gate with a window of 12.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.gating import COMPONENT, Gating, HeadGate
from pgolf.arch.dims import Dims


class GateLinear(Gating):
    def __init__(self, *, bias_init: float) -> None:
        self.bias_init = bias_init

    def part(self, dims: Dims) -> nn.Module:
        return LinearGate(dims, self.bias_init)


class LinearGate(HeadGate):
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, dims: Dims, bias_init: float) -> None:
        super().__init__()
        self.declare_weight(torch.zeros(dims.heads, dims.width))
        self.declare_control("bias", torch.full((dims.heads,), float(bias_init)), COMPONENT)

    def gate(self, h_BTD: Tensor) -> Tensor:
        return torch.sigmoid(F.linear(h_BTD, self.weight, self.bias))
