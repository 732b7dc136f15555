"""Gate G2: a learned constant per attention head, through a sigmoid.

Shapes: B batch, T time, D model, H query heads, K head size.

``y_h ← σ(γ_h) · y_h``, γ = 1, which is 0.731 at the start. Source: #187 (switched off there), spec arch §6.
Cost in bytes: H fp32 numbers per visit (8 at record). Cost in step time: none to speak of.
When it hurts: it starts by shrinking attention and can never enlarge it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pgolf.arch.addon.gating import COMPONENT, Gating, HeadGate
from pgolf.arch.dims import Dims


class GateSigmoid(Gating):
    def __init__(self, *, init: float) -> None:
        self.init = init

    def part(self, dims: Dims) -> nn.Module:
        return SigmoidGate(dims, self.init)


class SigmoidGate(HeadGate):
    gamma: nn.Parameter

    def __init__(self, dims: Dims, init: float) -> None:
        super().__init__()
        self.declare_control("gamma", torch.full((dims.heads,), float(init)), COMPONENT)

    def gate(self, h_BTD: Tensor) -> Tensor:
        return torch.sigmoid(self.gamma)
