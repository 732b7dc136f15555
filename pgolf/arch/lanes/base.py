"""What every option of arch/lanes answers: how a block reads and writes the residual stream or streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from pgolf.arch.base import Part
from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.visits import Route, Visit

ResidualStream = tuple[Tensor, ...]  # one tensor x_BTD, or two lanes


class Lanes(Part):
    """A stream starts as one tensor; an option may split it into lanes at some layer.

    ``lanes``: how many there are behind the split. ``reads``: how often a block behind it reads them.
    ``neutral``: it changes nothing, so that it fits every topology.
    """

    lanes: int = 1
    reads: int = 1
    neutral: bool = False

    def run(self, block: Block, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        """One block; the plain one unless an option overrides it."""
        (x_BTD,) = stream
        return (block.forward(x_BTD, context),)

    def add_skip(self, stream: ResidualStream, add: Callable[[Tensor], Tensor], visit: Visit) -> ResidualStream:
        """Let a decoder skip enter the stream before ``visit``; every lane unless an option says otherwise."""
        return tuple(add(x_BTD) for x_BTD in stream)

    def merge(self, stream: ResidualStream) -> Tensor:
        """The single tensor the head reads: the mean of the lanes."""
        return stream[0] if len(stream) == 1 else sum(stream[1:], stream[0]) / len(stream)

    def check(self, routes: Mapping[str, Route], layers: int) -> None:
        """Raise ConfigError where the lanes cannot live with one of the routes."""
