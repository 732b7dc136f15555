"""Mini depth recurrence: two layers visited once more, switched on in mid-training, with MLPs of their own (#1204).

Visits as in ``shared``: ``0, …, c−1, R, c, …, L−1``. Before the switch the model is the plain one. ``untie_mlp``
gives listed repeats MLP matrices of their own, zero until the switch, then copies of their layer's; attention
stays shared. ``growth_weight`` adds a penalty on repeats that make the stream grow (``growth``).
Source: spec arch §8.3 (#1204; the penalty is #1231's).
Cost: 4·D + H scalars in fp32 per repeated layer (and a row of D skip weights per further decoder visit), and with
``untie_mlp: full`` one MLP each (``down``: its second matrix). While active, a step costs |R| more layers.
Hurts with more than two layers (lost steps), and always-on (1.1163 against 1.1153 switched on at half time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.recurrence.base import (
    Activation,
    Recurrence,
    Trunk,
    check_layers,
    check_start,
    repeat_after_last,
)
from pgolf.arch.recurrence.growth import Growth
from pgolf.arch.visits import Route, Visit, route
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt

UNTIE_MODES = ("none", "down", "full")


class MiniRecurrence(Recurrence):
    """Routes ``plain`` and ``recurrent``; the second alone where the start is 0.

    ``start`` (a fraction of the run) or ``start_step``: one of the two, the other null. ``untie_layers`` null:
    all recurrent layers. ``keys: virtual`` shares scalars by place in the visit list, as #1204 did: the switch
    then hands the repeats their successors' scalars and the last layers untrained ones.
    """

    alone = True

    def __init__(
        self,
        *,
        dims: Dims,
        recurrent_layers: Sequence[int],
        start: Fraction | None,
        start_step: NonNegativeInt | None,
        untie_mlp: Literal["none", "down", "full"],
        untie_layers: Sequence[int] | None,
        keys: Literal["visit", "virtual"],
        growth_weight: NonNegativeFloat,
    ) -> None:
        super().__init__()
        check_layers("recurrent_layers", recurrent_layers, dims.layers)
        moment = start_step if start is None else start
        if moment is None or (start is not None and start_step is not None):
            raise ConfigError(
                f"arch.recurrence.start, start_step: {start}, {start_step}; give exactly one, the other null"
            )
        if start is not None:
            check_start("start", start)
        if untie_mlp not in UNTIE_MODES:
            raise ConfigError(f"arch.recurrence.untie_mlp: {untie_mlp!r} is none of {', '.join(UNTIE_MODES)}")
        if keys not in ("visit", "virtual"):
            raise ConfigError(f"arch.recurrence.keys: {keys!r} is none of visit, virtual")
        if untie_layers is not None:
            if untie_mlp == "none":
                raise ConfigError("arch.recurrence.untie_layers: has no effect with untie_mlp = none")
            check_layers("untie_layers", untie_layers, dims.layers)
            foreign = [i for i in untie_layers if i not in recurrent_layers]
            if foreign:
                raise ConfigError(
                    f"arch.recurrence.untie_layers: {foreign} are not among the recurrent layers "
                    f"{list(recurrent_layers)}"
                )
        self.layers, self.recurrent_layers = dims.layers, tuple(recurrent_layers)
        self.activation = Activation("recurrent", float(moment), steps=start is None)
        self.untie_mlp = untie_mlp
        self.untied = self.recurrent_layers if untie_layers is None else tuple(untie_layers)
        self.keys, self.growth = keys, Growth(growth_weight)

    def routes(self) -> tuple[Route, ...]:
        order = repeat_after_last(self.layers, self.recurrent_layers)
        recurrent = route("recurrent", order, keys=self.keys)
        plain = route("plain", range(self.layers), keys=self.keys)
        return (plain, recurrent) if self.activations() else (recurrent,)

    def activations(self) -> tuple[Activation, ...]:
        return (self.activation,) if self.activation.start > 0 else ()

    def own_mlp(self, visit: Visit) -> Literal["none", "down", "full"]:
        return self.untie_mlp if visit.number and visit.physical in self.untied else "none"

    def before_visit(self, visit: Visit, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        if visit.physical == min(self.recurrent_layers) and visit.number == 0:
            self.growth.enter(stream, context)
        return stream

    def after_visit(
        self, visit: Visit, stream: ResidualStream, context: ForwardContext, model: Trunk
    ) -> ResidualStream:
        if visit.physical == self.recurrent_layers[-1] and visit.number:
            self.growth.leave(stream, context)
        return stream
