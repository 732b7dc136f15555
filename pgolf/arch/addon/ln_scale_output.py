"""LN scale on outputs: deeper layers write less.

Shapes: B batch, T time, D model.

``y ← y/√(i+1)`` on what both sublayers write. A different model from ``ln_scale``, which scales what they
read. Source: #187, #1125, spec arch §3.
Cost in bytes: none, the factors follow from the index. Cost in step time: one multiplication.
When it hurts: the projections can learn the same factor; the scale only sets where they start.
"""

from __future__ import annotations

from torch import nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.addon.ln_scale import ALTERNATIVE, DepthIndex, DepthScale
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit


class LNScaleOutput(Addon):
    """``index``: what i is; ``repeats_virtual`` is physical at first visits, virtual at repeats."""

    alternative = ALTERNATIVE
    sites = ("attention_out", "mlp_out")
    order = 30

    def __init__(self, *, index: DepthIndex) -> None:
        self.part = DepthScale(index)

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        return self.part
