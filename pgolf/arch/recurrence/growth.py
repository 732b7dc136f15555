"""A penalty on repeated layers that make the stream grow, for training alone.

Shapes: B batch, T time, D model.

``w · relu(‖h_out − h_in‖ / (‖h_in‖ + ε) − 1)²`` with ``h_in`` the stream as the first of the repeated layers finds
it, ``h_out`` as the last of their repeats leaves it, and norms over all values of a batch; of two lanes the mean.
Source: #1231, there called a proxy of the Jacobian, w = 0.01; spec arch §8.3.
Cost: no bytes; two norms of the stream per step.
Hurts: nothing while the repeats move the stream by less than its own length, where the penalty is 0.
"""

from __future__ import annotations

from torch import Tensor

from pgolf.arch.block import ForwardContext
from pgolf.arch.lanes.base import ResidualStream

EPSILON = 1e-6
BEFORE = "recurrence.growth"


class Growth:
    """Penalises by ``weight``; 0 switches it off. Acts only where the context has targets: in training."""

    def __init__(self, weight: float) -> None:
        self.weight = float(weight)

    def enter(self, stream: ResidualStream, context: ForwardContext) -> None:
        """The first visit of the repeated layers begins."""
        if self.weight and context.targets_BT is not None:
            context.shared[BEFORE] = _whole(stream)

    def leave(self, stream: ResidualStream, context: ForwardContext) -> None:
        """The last of their repeats has ended."""
        if self.weight and context.targets_BT is not None:
            context.auxiliary.append(self.weight * growth_penalty(context.shared[BEFORE], _whole(stream)))


def growth_penalty(before_BTD: Tensor, after_BTD: Tensor) -> Tensor:
    """``relu(‖after − before‖ / (‖before‖ + ε) − 1)²``, an fp32 scalar."""
    ratio = (after_BTD - before_BTD).norm() / (before_BTD.norm() + EPSILON)
    return (ratio - 1.0).relu().square()


def _whole(stream: ResidualStream) -> Tensor:
    return sum((x.float() for x in stream[1:]), stream[0].float()) / len(stream)
