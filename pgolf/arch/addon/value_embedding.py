"""Value embeddings: give the values of chosen blocks the identity of their token once more.

Shapes: B batch, T time, V vocab, E row width, G key/value heads, K head size.

``v += s · s_i · P · table[ids]`` with one shared table [V, E] and projection P [G·K, E], a global scale s and one
scale s_i for each listed place i; added to the flat values, before a value residual and before XSA. The product
is made once per forward pass.
``index: virtual`` reads ``visits`` as places in the visit list, the published rule: when recurrence becomes
active, places 9 and 10 of eleven layers fall on layers 7 and 8. ``index: physical`` reads them as layers, each
fed at all of its visits.
Source: #414, #549, #687, #860, #1204, "VE128" (spec arch §4.4): −0.006 bits per byte in #687's log.
Cost: V·E + E·G·K + 1 + places weights (163,843 for 1,024 words, E = 128, 4 KV heads of 64, two places), the
table in the embedding's precision, P in fp16.
Time: one look-up and one product per token.
It hurts with large vocabularies, where the table outgrows what it earns: dropped at 8,192 words (#1394).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Linear, Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import NonNegativeFloat, PositiveInt
from pgolf.core.results import ParamSpec

NAME = "value_embedding"


class ValueTable(Part):
    """The site ``prepare``: leaves the projected rows and the scales of the places for the blocks."""

    alone = True

    table: nn.Parameter
    scale: nn.Parameter
    place_scales: nn.Parameter

    def __init__(self, dims: Dims, settings: ValueEmbedding) -> None:
        super().__init__()
        table = torch.randn(dims.vocab_size, settings.dim) * settings.table_std
        self.declare("table", table, group="embedding", storage="embedding", component=NAME)
        self.projection = Linear(settings.dim, dims.kv_width, NAME)
        self.projection.specs["weight"] = ParamSpec(settings.projection_group, "keep_fp16", NAME)
        self.declare_control("scale", torch.tensor(settings.scale), NAME)
        self.declare_control("place_scales", torch.ones(len(settings.visits)), NAME)

    def forward(self, context: ForwardContext) -> None:
        values = self.projection(F.embedding(context.ids_BT, self.table))
        context.shared[NAME] = self.scale.to(values.dtype) * values
        context.shared[f"{NAME}.scales"] = self.place_scales


class ValueFeed(Part):
    """The site ``value``: adds them where the visit being run is a listed one. Owns no parameters."""

    alone = True

    def __init__(self, places: Sequence[int], index: Literal["virtual", "physical"]) -> None:
        super().__init__()
        self.places, self.index = tuple(places), index

    def forward(self, v_BTGK: Tensor, context: ForwardContext) -> Tensor:
        assert context.visit is not None
        place = getattr(context.visit, self.index)
        if place not in self.places:
            return v_BTGK
        scale = context.shared[f"{NAME}.scales"][self.places.index(place)]
        return v_BTGK + scale.to(v_BTGK.dtype) * context.shared[NAME].view_as(v_BTGK).to(v_BTGK.dtype)


class ValueEmbedding(Addon):
    """The specification; ``visits`` lists the places that are fed."""

    beside_state_space = False
    sites = ("prepare", "value")
    order = 10

    def __init__(
        self,
        *,
        visits: Sequence[int],
        index: Literal["virtual", "physical"],
        dim: PositiveInt,
        scale: float,
        table_std: NonNegativeFloat,
        projection_group: Literal["matrix", "scalar"],
    ) -> None:
        if not visits or len(set(visits)) != len(visits):
            raise ConfigError(f"arch.addons.{NAME}.visits: {list(visits)} is empty or names a place twice")
        self.visits, self.index = tuple(visits), index
        self.dim, self.scale, self.table_std = dim, scale, table_std
        self.projection_group = projection_group

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        if visit is None:
            self._check(dims, model)
            return ValueTable(dims, self)
        if visit.key in {v.key for v in self._fed(model)}:
            return ValueFeed(self.visits, self.index)
        return None

    def _fed(self, model: ModelOutline) -> list[Visit]:
        """Every visit of any route that is fed."""
        every = (v for route in model.routes.values() for v in route.visits)
        return [v for v in every if getattr(v, self.index) in self.visits]

    def _check(self, dims: Dims, model: ModelOutline) -> None:
        place = f"arch.addons.{NAME}.visits"
        longest = max(len(s.visits) for s in model.routes.values())
        size = longest if self.index == "virtual" else dims.layers
        outside = [i for i in self.visits if not 0 <= i < size]
        if outside:
            raise ConfigError(f"{place}: {outside} out of range; the {self.index} indices are 0..{size - 1}")
        idle = sorted({v.physical for v in self._fed(model)} - set(model.attention_layers))
        if idle:
            raise ConfigError(f"{place}: {list(self.visits)} falls on {idle}, layers without attention")
