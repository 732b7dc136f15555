"""Skip gates: a decoder layer blends its skip with the stream instead of adding it.

Shapes: B batch, T time, D model, S skips.

``x ← (1−σ(γ))⊙(w⊙skip) + σ(γ)⊙x`` with γ [S, D] = 0: half of each at the start, which is *not* the
baseline's sum. Source: #1089, #1204, spec arch §3.
Cost in bytes: S·D fp32 numbers (2,048 at record's baseline). Cost in step time: a blend per skip.
When it hurts: it starts by halving the stream at each skip; to get the baseline's sum, leave it out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError


class SkipGate(Addon):
    sites = ("skip",)
    order = 10

    def __init__(self, *, init: float) -> None:
        self.init = init

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        if not model.skips:
            raise ConfigError("arch.addons.skip_gate: this model has no skips to gate")
        return BlendedSkip(model.skips, dims.width, self.init)


class BlendedSkip(Part):
    alone = True

    gamma: nn.Parameter

    def __init__(self, skips: int, width: int, init: float) -> None:
        super().__init__()
        self.declare_control("gamma", torch.full((skips, width), float(init)), "skip")

    def forward(self, x_BTD: Tensor, skip_BTD: Tensor, index: int) -> Tensor:
        """``skip_BTD`` comes weighted; ``index`` counts the skips of a pass."""
        keep_D = torch.sigmoid(self.gamma[index])
        return (1 - keep_D) * skip_BTD + keep_D * x_BTD
