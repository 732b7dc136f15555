"""A run of consecutive layers visited several times more, switched on in mid-training (#1394 to #1855).

``0, …, end, (start, …, end) × extra, end+1, …, L−1``; all matrices and scalars are shared by all visits. The
extra passes become active at one fraction of the run, or the first at one and the rest at a second one.
``carry`` adds ``α·c`` to what a repeated visit leaves, with one α per layer, 0 at the start, and c what the
layer's latest visit in the encoder half left, its own carry included; visits in the decoder half read c but do
not renew it (#1766). ``growth_weight`` adds a penalty on repeats that make the stream grow (``growth``, #1231).
Source: spec arch §8.5.
Cost: a row of D skip weights per further decoder visit, with ``carry`` one scalar per layer. While
active, a step costs ``extra·(end−start+1)`` more layers.
Hurts when it is on from the start: early steps are worth more than depth. Activation shows as a spike of the
loss, smaller in two steps (#1412).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.recurrence.base import Activation, Recurrence, Trunk, check_layers, check_start
from pgolf.arch.recurrence.growth import Growth
from pgolf.arch.visits import Route, Visit, route
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveInt


class SegmentLoop(Recurrence):
    """Routes ``plain`` and, for each moment of ``starts``, ``extra1`` or ``extra<segment_extra_passes>``.

    ``starts`` are fractions of the run: one for all extra passes, or two, for the first and for the rest. Where
    the first is 0 there is no plain route.
    """

    alone = True

    alpha: nn.Parameter

    def __init__(
        self,
        *,
        dims: Dims,
        segment_layers: Sequence[int],
        segment_extra_passes: PositiveInt,
        starts: Sequence[Fraction],
        carry: bool,
        growth_weight: NonNegativeFloat,
    ) -> None:
        super().__init__()
        check_layers("segment_layers", segment_layers, dims.layers)
        first, last = segment_layers[0], segment_layers[-1]
        if list(segment_layers) != list(range(first, last + 1)):
            raise ConfigError(
                f"arch.recurrence.segment_layers: {list(segment_layers)} are not consecutive, low to high"
            )
        if segment_extra_passes < 1:
            raise ConfigError(
                f"arch.recurrence.segment_extra_passes: {segment_extra_passes} is out of range: at least 1"
            )
        if len(starts) not in (1, 2) or len(starts) > segment_extra_passes:
            raise ConfigError(
                f"arch.recurrence.starts: {list(starts)} must be one fraction, or two where there are two extra "
                f"passes or more; there are {segment_extra_passes}"
            )
        if list(starts) != sorted(set(starts)) or not 0 <= starts[0] <= starts[-1] <= 1:
            raise ConfigError(f"arch.recurrence.starts: {list(starts)} must rise within 0..1")
        check_start("starts", starts[-1])
        self.layers, self.first, self.last = dims.layers, first, last
        self.extras = (segment_extra_passes,) if len(starts) == 1 else (1, segment_extra_passes)
        self.starts = tuple(float(start) for start in starts)
        self.carry, self.growth = carry, Growth(growth_weight)
        if carry:
            self._check_carry()
            self.declare_control("alpha", torch.zeros(last + 1 - first))

    def visit_order(self, extra: int) -> list[int]:
        """Physical layers in the order of their visits, with ``extra`` further passes over the segment."""
        segment = [*range(self.first, self.last + 1)]
        return [*range(self.last + 1), *(segment * extra), *range(self.last + 1, self.layers)]

    def routes(self) -> tuple[Route, ...]:
        extended = tuple(route(_name(extra), self.visit_order(extra), keys="physical") for extra in self.extras)
        plain = route("plain", self.visit_order(0), keys="physical")
        return extended if self.starts[0] == 0 else (plain, *extended)

    def activations(self) -> tuple[Activation, ...]:
        pairs = zip(self.extras, self.starts, strict=True)
        return tuple(Activation(_name(extra), start) for extra, start in pairs if start > 0)

    def before_visit(self, visit: Visit, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if visit.physical == self.first and visit.number == 0:
            self.growth.enter(stream, context)
        return stream

    def after_visit(
        self, visit: Visit, stream: ResidualStream, context: ForwardContext, model: Trunk
    ) -> ResidualStream:
        if not self.first <= visit.physical <= self.last:
            return stream
        if self.carry:
            stream = self._carried(visit, stream, context)
        number = max(v.number for v in model.route.visits if v.physical == self.last)
        if visit.physical == self.last and visit.number == number > 0:
            self.growth.leave(stream, context)
        return stream

    def _carried(self, visit: Visit, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        (x_BTD,) = stream  # two lanes begin behind every layer that the encoder half visits
        name = f"recurrence.carry.{visit.physical}"
        if name in context.shared:
            x_BTD = x_BTD + self.alpha[visit.physical - self.first] * context.shared[name]
        if visit.half == "encoder":
            context.shared[name] = x_BTD
        return (x_BTD,)

    def _check_carry(self) -> None:
        """Raise ConfigError where a layer has nothing to carry: no visit in the encoder half before its last."""
        encoder = {v.physical for v in self.routes()[-1].visits if v.half == "encoder"}
        idle = sorted({*range(self.first, self.last + 1)} - encoder)
        if idle:
            raise ConfigError(
                f"arch.recurrence.carry: layers {idle} are visited in the decoder half only, where nothing is "
                "carried from; a lower segment, more extra passes, or carry=false"
            )


def _name(extra: int) -> str:
    return f"extra{extra}"
