"""LN scale: deeper layers read a smaller normed input.

Shapes: B batch, T time, D model.

``h ← h/√(i+1)`` on the normed input of both sublayers. As queries and keys are normed again, attention's
output scales by s = 1/√(i+1) and a squared-activation MLP's by s². The other placement is the addon
``ln_scale_output``. Source: #315, spec arch §3.
Cost in bytes: none, the factors follow from the index. Cost in step time: one multiplication.
When it hurts: deep layers of an MLP that squares get little to say (1/(i+1)).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit

DepthIndex = Literal["physical", "virtual", "repeats_virtual"]
ALTERNATIVE = "are alternatives, scaling inputs or outputs"  # what ``ln_scale_output`` says too


class LNScale(Addon):
    """``index``: what i is; ``repeats_virtual`` is physical at first visits, virtual at repeats (#860)."""

    alternative = ALTERNATIVE
    sites = ("attention_in", "mlp_in")
    order = 10

    def __init__(self, *, index: DepthIndex) -> None:
        self.part = DepthScale(index)

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        return self.part


class DepthScale(Part):
    """A constant factor for each visit; no buffer, so nothing of it is saved."""

    alone = True

    def __init__(self, index: DepthIndex) -> None:
        super().__init__()
        self.index = index

    def forward(self, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        assert context.visit is not None
        return depth_scale(context.visit, self.index) * x_BTD


def depth_scale(visit: Visit, index: DepthIndex) -> float:
    """``1/√(i+1)``."""
    physical = index == "physical" or (index == "repeats_virtual" and visit.number == 0)
    return float(((visit.physical if physical else visit.virtual) + 1) ** -0.5)
