"""Encoder recurrence: the first half of the U-Net runs several times before the second (#187).

``x = n(x)`` between passes, x0 stays, and the stack of skips is emptied, so that the decoder sees the last
pass alone; all passes share all scalars. ``scope: all`` repeats the whole U-Net instead.
Source: spec arch §8.2 (#187).
#187 tried it with ``auxiliary=[encoder]``.
Cost: no bytes. A step costs (passes−1) times the encoder more, half as much again for two passes.
Hurts: two passes gained 0.003 at equal time over a plain model of wide MLPs (1.1709 against 1.1740); reversed
passes, the auxiliary loss, three passes and ``scope: all`` were worse or too slow. The final #187 does without.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pgolf.arch.dims import Dims
from pgolf.arch.recurrence.base import Activation, Recurrence, check_start
from pgolf.arch.visits import Route, Visit, control_key, route
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, Fraction, PositiveInt

MOST_PASSES = 3


class EncoderRecurrence(Recurrence):
    """Routes ``plain`` and ``passes``; the second alone where ``start`` is 0.

    ``reverse`` runs every second pass over the encoder from its last layer to its first. ``start`` is a
    fraction of the run. ``encoder_layers`` null: the floor half.
    """

    alone = True

    def __init__(
        self,
        *,
        dims: Dims,
        passes: Annotated[int, Between(1, MOST_PASSES)],
        scope: Literal["encoder", "all"],
        reverse: bool,
        start: Fraction,
        encoder_layers: PositiveInt | None,
    ) -> None:
        super().__init__()
        if not 1 <= passes <= MOST_PASSES:
            raise ConfigError(f"arch.recurrence.passes: {passes} is out of range: from 1 to {MOST_PASSES}")
        check_start("start", start)
        encoder = dims.layers // 2 if encoder_layers is None else encoder_layers
        if not 1 <= encoder <= dims.layers:
            raise ConfigError(f"arch.recurrence.encoder_layers: {encoder} is out of range: from 1 to {dims.layers}")
        idle = [name for name, on in (("reverse", reverse), ("start", start > 0)) if on and passes == 1]
        if reverse and scope == "all":
            idle.append("reverse")
        if idle:
            raise ConfigError(
                f"arch.recurrence.{idle[0]}: has no effect with passes = {passes} and scope = {scope}; it "
                "belongs to further passes over the encoder"
            )
        self.layers, self.encoder, self.passes = dims.layers, encoder, passes
        self.scope, self.reverse, self.start = scope, reverse, float(start)

    def routes(self) -> tuple[Route, ...]:
        plain = route("plain", range(self.layers), encoder=self.encoder, keys="physical")
        if self.passes == 1:
            return (plain,)
        repeated = Route("passes", tuple(self._visits()))
        return (plain, repeated) if self.start > 0 else (repeated,)

    def activations(self) -> tuple[Activation, ...]:
        return (Activation("passes", self.start),) if self.start > 0 else ()

    def _visits(self) -> list[Visit]:
        visits: list[Visit] = []
        for number in range(self.passes):
            last = number == self.passes - 1
            encoder = [*range(self.encoder)]
            if self.reverse and number % 2:
                encoder.reverse()
            decoder = [*range(self.encoder, self.layers)] if last or self.scope == "all" else []
            for place, physical in enumerate(encoder + decoder):
                begins = number > 0 and place == 0
                visits.append(
                    Visit(
                        virtual=len(visits),
                        physical=physical,
                        number=sum(v.physical == physical for v in visits),
                        half="encoder" if place < len(encoder) else "decoder",
                        key=control_key("physical", len(visits), physical, number),
                        restart=begins,
                        norm=begins,
                    )
                )
        return visits
