"""Canon convolution: both sublayers also read a few tokens back, channel by channel.

Shapes: B batch, T time, D model, J taps.

``y_t = x_t + Σ_{j<J} w_j ⊙ x_{t−j}`` on the normed input of attention and of the MLP, w = 0: the identity at
the start. Source: the switch of that name in the published trainers, present but off, spec arch §3.
Cost in bytes: 2·J·D fp16 numbers per visit (4,096 at record). Cost in step time: two depthwise convolutions
per block.
When it hurts: it reads across document boundaries; no record switched it on.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.step.memory import LastInputs, Past, Step
from pgolf.arch.taps import causal_taps
from pgolf.arch.visits import Visit
from pgolf.core.ranges import PositiveInt


class Canon(Addon):
    sites = ("attention_in", "mlp_in")
    order = 20

    def __init__(self, *, taps: PositiveInt) -> None:
        self.taps = taps

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        assert visit is not None
        layers = model.mixer_layers if site == "attention_in" else model.mlp_layers
        used = any(v.physical in layers for v in model.sharing(visit))
        return CanonConvolution(self.taps, dims.width) if used else None


class CanonConvolution(Part):
    weight: nn.Parameter

    def __init__(self, taps: int, width: int) -> None:
        super().__init__()
        zeros_JD = torch.zeros(taps, width)
        self.declare("weight", zeros_JD, group="scalar", storage="keep_fp16", component="canon")

    def stand_ins(self, past: Past) -> Mapping[str, Step]:
        return {"forward": LastInputs(past, self.forward, self.weight.size(0) - 1)}

    def forward(self, h_BTD: Tensor, context: ForwardContext) -> Tensor:
        return h_BTD + causal_taps(h_BTD, self.weight)
