"""Replicas: the processes that train one model together, each on its part of every step's batch.

All of them start from the same weights and take the same steps: what a step is made of (gradients, its loss, the
time, whether it is the last) is agreed on, and everything else follows. One process is ``Alone``, for which all of
this is the identity. Between processes it is ``pgolf.train.group``.

Every replica calls the same methods in the same order, from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from torch import Tensor

from pgolf.core.process import Process


class Replicas(Protocol):
    """``rank`` of ``world``. All methods raise RankLost where another one has ended or is silent."""

    @property
    def rank(self) -> int: ...
    @property
    def world(self) -> int: ...
    @property
    def process(self) -> Process: ...

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the replicas, in few messages."""
        ...

    def largest(self, number: float) -> float: ...

    def first(self, number: float) -> float:
        """Rank 0's."""
        ...

    def told(self, number: int) -> int:
        """Rank 0's, however long it takes, and until all have heard it."""
        ...

    def shared(self, thing: Any) -> Any:
        """Rank 0's, copied, however long it takes."""
        ...

    def gathered(self, thing: Any) -> list[Any]:
        """Everybody's, by rank, copied: tensors and plain values."""
        ...

    def wait(self) -> None:
        """Until all are here, however long it takes."""
        ...

    def first_goes_ahead(self) -> AbstractContextManager[None]:
        """Around what rank 0 does before the others do it."""
        ...


class Alone:
    rank, world, process = 0, 1, Process(rank=0, world=1)

    def mean_(self, tensors: Sequence[Tensor]) -> None: ...

    def largest(self, number: float) -> float:
        return number

    def first(self, number: float) -> float:
        return number

    def told(self, number: int) -> int:
        return number

    def shared(self, thing: Any) -> Any:
        return thing

    def gathered(self, thing: Any) -> list[Any]:
        return [thing]

    def wait(self) -> None: ...

    def first_goes_ahead(self) -> AbstractContextManager[None]:
        return nullcontext()


ALONE = Alone()


def micro_steps(accumulation: int, world: int) -> int:
    """Of each replica, where one process would take ``accumulation``; its micro-batches get no larger."""
    return -(-accumulation // world)
