"""Pre-enrichment: maps each embedded token through a small network before the stack, without a residual.

Shapes: B batch, T time, D model, M hidden.

``x ← W_b · GELU(W_a · x)`` (``form: gelu``) or ``x ← W_b · W_a · x`` (``form: linear``); the norm follows, so x0
is the enriched stream. ``pe_delta_BT = ‖enrich(x) − x‖₂``, taken before the norm, is a confidence signal that
a mixer may ask for, by the name ``moved`` (``mixer=confidence_pr187``): ``part.delta(x_BTD)``, or
``pe_delta(model, ids_BT)`` for a whole model.
Source: #187 (spec arch §4.3). Stages there: linear pair of width D, GELU, hidden 3D/2.
Cost: 2·D·M weights in two matrices (786,432 at 512→768→512). Time: a third of one block of
that record (MLP 3D).
It hurts in that nothing bypasses it: a coarse quantization of its matrices reaches every layer through x0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.addon.base import Addon, Host, ModelOutline
from pgolf.arch.base import Linear, Part
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt


class Enrich(Part):
    """The site ``embedding``: ``up`` is W_a [M, D], ``down`` is W_b [D, M]."""

    alone = True
    tells: ClassVar[Mapping[str, int]] = {"moved": 1}  # type: ignore[misc]

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up = Linear(width, hidden, "pre_enrichment")
        self.down = Linear(hidden, width, "pre_enrichment")
        self.activation = activation

    def forward(self, x_BTD: Tensor, ids_BT: Tensor) -> Tensor:
        return self.enrich(x_BTD)

    def enrich(self, x_BTD: Tensor) -> Tensor:
        """The enriched tokens, in the dtype of ``x``: what follows is the residual stream."""
        return self.down(self.activation(self.up(x_BTD))).to(x_BTD.dtype)

    def tell(self, name: str, x_BTD: Tensor) -> Tensor:
        return self.delta(x_BTD)[..., None]

    def delta(self, x_BTD: Tensor) -> Tensor:
        """``‖enrich(x) − x‖₂`` of every position, fp32 [B, T]. ``x`` is what this part receives."""
        return (self.enrich(x_BTD).float() - x_BTD.float()).norm(dim=-1)


class PreEnrichment(Addon):
    """The specification; ``hidden`` is M (the width itself for the square pair)."""

    sites = ("embedding",)
    order = 30

    def __init__(self, *, form: Literal["linear", "gelu"], hidden: PositiveInt) -> None:
        self.activation: Callable[[Tensor], Tensor] = F.gelu if form == "gelu" else _unchanged
        self.hidden = hidden

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> Enrich:
        return Enrich(dims.width, self.hidden, self.activation)


def pe_delta(model: Host, ids_BT: Tensor) -> Tensor:
    """The confidence signal of ``model`` at every position, fp32 [B, T]; a function of the prefix only.

    Raises ConfigError for a model without pre-enrichment.
    """
    x_BTD = F.embedding(ids_BT, model.embedding)
    for part in model.parts_at("embedding"):
        if isinstance(part, Enrich):
            return part.delta(x_BTD)
        x_BTD = part(x_BTD, ids_BT)
    raise ConfigError("arch/addon: pe_delta needs pre_enrichment, which this model does not have")


def _unchanged(x: Tensor) -> Tensor:
    return x
