"""What every option of arch/lanes answers: how a block reads and writes the residual stream or streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor

from pgolf.arch.base import Part
from pgolf.arch.block import Block, Context
from pgolf.arch.visits import Schedule, Visit

Stream = tuple[Tensor, ...]  # one tensor x_BTD, or two lanes


class Lanes(Part):
    """A stream starts as one tensor; an option may split it into lanes at some layer."""

    @abstractmethod
    def run(self, block: Block, stream: Stream, context: Context) -> Stream:
        """One block."""

    def sequential(self, block: Block, stream: Stream, context: Context) -> Stream:
        """The plain block on a single stream: attention, then the MLP."""
        (x_BTD,) = stream
        u_BTD = block.read(x_BTD, context)
        attended = block.attend(u_BTD, context)
        if attended is not None:
            u_BTD = u_BTD + attended
        fed = block.feed_forward(u_BTD, context)
        if fed is not None:
            u_BTD = u_BTD + fed
        return (block.leave(u_BTD, x_BTD, context),)

    def add_skip(self, stream: Stream, add: Callable[[Tensor], Tensor], visit: Visit) -> Stream:
        """Let a decoder skip enter the stream before ``visit``; every lane unless an option says otherwise."""
        return tuple(add(x_BTD) for x_BTD in stream)

    def merge(self, stream: Stream) -> Tensor:
        """The single tensor the head reads: the mean of the lanes."""
        return stream[0] if len(stream) == 1 else sum(stream[1:], stream[0]) / len(stream)

    def check(self, schedules: Mapping[str, Schedule], layers: int) -> None:
        """Raise ConfigError where the lanes cannot live with one of the schedules."""
