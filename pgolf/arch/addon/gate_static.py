"""Gate G1: a learned constant per attention head.

Shapes: B batch, T time, D model, H query heads, K head size.

``y_h ← γ_h · y_h``, γ = 1, no sigmoid: the identity at the start. With ``post_proj`` the factors apply to the
H groups of K channels *after* the output projection, where they no longer correspond to heads; that is what
#860 ran. Source: #430, #860, spec arch §6.
Cost in bytes: H fp32 numbers per visit (8 at record). Cost in step time: none to speak of.
When it hurts: not seen to; its effect is unmeasured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pgolf.arch.addon.gating import COMPONENT, Gating, HeadGate
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveFloat


class GateStatic(Gating):
    def __init__(self, *, init: PositiveFloat, post_proj: bool) -> None:
        self.init, self.post_proj = init, post_proj
        self.sites = ("attention_out",) if post_proj else ("heads",)

    def part(self, dims: Dims) -> nn.Module:
        return ProjectedGate(dims, self.init) if self.post_proj else StaticGate(dims, self.init)


class StaticGate(HeadGate):
    gamma: nn.Parameter

    def __init__(self, dims: Dims, init: float) -> None:
        super().__init__()
        self.declare_control("gamma", torch.full((dims.heads,), float(init)), COMPONENT)

    def gate(self, h_BTD: Tensor) -> Tensor:
        return self.gamma


class ProjectedGate(Part):
    alone = True

    gamma: nn.Parameter

    def __init__(self, dims: Dims, init: float) -> None:
        super().__init__()
        self.declare_control("gamma", torch.full((dims.heads,), float(init)), COMPONENT)

    def forward(self, y_BTD: Tensor, context: ForwardContext) -> Tensor:
        y_BTHK = y_BTD.unflatten(-1, (self.gamma.numel(), -1))
        return (self.gamma.to(y_BTD.dtype).unsqueeze(-1) * y_BTHK).flatten(-2)
