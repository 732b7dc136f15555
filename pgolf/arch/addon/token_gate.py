"""Dynamic token gate (DTG): each token decides how much of a block it takes.

Shapes: B batch, T time, D model.

``x + σ(w·sg(x) + b)(Block(x) − x)``, w = 0, b = 2, which is 0.881 at the start; sg stops the gradient. What x
is, ``around`` says: the ``stream`` before the block, or ``mixed``, what the block reads after the x0 mix (as
the published trainers have it). The two differ once the mix has left (1, 0). Source: the switch DTG of #549
and its descendants, present but off, spec arch §3.
Cost in bytes: D+1 fp32 numbers per visit. Cost in step time: one dot product and a blend per block.
When it hurts: no record switched it on; the block's update starts 12 % smaller.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit

SHARED = "token_gate"


class TokenGate(Addon):
    most_lanes = 1
    why = "gates the whole block"
    sites: tuple[str, ...]
    order = 90  # last: it keeps what the block really reads, and gates all of what the block did

    def __init__(self, *, bias_init: float, around: Literal["stream", "mixed"]) -> None:
        self.bias_init, self.mixed = bias_init, around == "mixed"
        self.sites = ("read", "block_out") if self.mixed else ("block_out",)

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        return Remember() if site == "read" else GatedBlock(dims.width, self.bias_init, self.mixed)


class Remember(Part):
    """Keeps what the block reads until the gate needs it."""

    alone = True

    def forward(self, u_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        context.shared[SHARED] = u_BTD
        return u_BTD


class GatedBlock(Part):
    alone = True

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, width: int, bias_init: float, mixed: bool) -> None:
        super().__init__()
        self.mixed = mixed
        self.declare_control("weight", torch.zeros(width), SHARED)
        self.declare_control("bias", torch.full((1,), float(bias_init)), SHARED)

    def forward(self, y_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        if self.mixed:
            x_BTD = context.shared.pop(SHARED)
        gate_BT1 = torch.sigmoid((x_BTD.detach() * self.weight).sum(-1, keepdim=True) + self.bias)
        return x_BTD + gate_BT1 * (y_BTD - x_BTD)
