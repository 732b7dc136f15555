"""Value residual (ResFormer): every block's values are mixed with those of the first attention layer.

Shapes: B batch, T time, G key/value heads, K head size.

``v ← λ₀·v⁰ + λ₁·v``; v⁰ are the values of the first layer visited, after a value embedding and before any
mixing. ``squash: none`` uses λ as it is, ``sigmoid`` uses σ(λ) (#187: 0.62 and 0.62 at the start).
The first layer itself owns no λ. λ = (0, 1) is the plain model.
Source: arXiv 2410.17897; #413, #549, #733 (spec arch §5): −0.002 bits per byte at scale.
Cost: 2 fp32 weights per visit after the first. Time: one elementwise pass over the values per block.
It hurts in that it is not the identity at the start: half of every block's values is the first layer's.
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
from pgolf.core.errors import ConfigError

NAME = "value_residual_v0"


class FirstValues(Part):
    """The first layer: leaves its values for the others, those of its first visit in a forward pass."""

    alone = True

    def forward(self, v_BTGK: Tensor, context: ForwardContext) -> Tensor:
        context.shared.setdefault(NAME, v_BTGK)
        return v_BTGK


class Mix(Part):
    """Every other visit: ``mix`` is λ = (weight of v⁰, weight of v)."""

    alone = True

    mix: nn.Parameter

    def __init__(self, first: float, own: float, squash: bool) -> None:
        super().__init__()
        self.squash = squash
        self.declare_control("mix", torch.tensor([first, own]), "value_residual")

    def forward(self, v_BTGK: Tensor, context: ForwardContext) -> Tensor:
        mix = (torch.sigmoid(self.mix) if self.squash else self.mix).to(v_BTGK.dtype)
        return mix[0] * context.shared[NAME] + mix[1] * v_BTGK


class ValueResidualV0(Addon):
    """The specification; ``first`` and ``own`` are where λ starts, before squashing."""

    sites = ("value",)
    order = 20

    def __init__(self, *, first: float, own: float, squash: Literal["none", "sigmoid"]) -> None:
        self.first, self.own, self.squash = first, own, squash == "sigmoid"

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        assert visit is not None
        sources = {s.visits[0].key: s.visits[0].physical for s in model.routes.values()}
        without = sorted(set(sources.values()) - set(model.attention_layers))
        if without:
            raise ConfigError(
                f"arch/addon: {NAME} takes the values of layer {without[0]}, which has no attention; "
                f"keep it out of arch.no_attention (with arch=mamba_hybrid: name it in arch.attention_layers) or "
                f"choose value_residual_x0"
            )
        if visit.key in sources:
            return FirstValues()
        if not any(v.physical in model.attention_layers for v in model.sharing(visit)):
            return None
        return Mix(self.first, self.own, self.squash)
