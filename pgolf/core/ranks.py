"""Ranks: the processes that share the work of one evaluation, and all that they say to each other.

Each of them runs the same program on the same numbers. What is shared out, one rank computes and all of them get; what
one alone can know, rank 0 tells. So all of them hold the same bits at all times, and a difference would be seen in the
end (``RanksDisagree``). One process is ``OneRank``, which shares with nobody. Two ways of talking: ``pgolf.core.group``
over torch's process groups, and ``pgolf.eval.links`` between sealed processes, which may open no sockets.

Every rank calls the same methods in the same order, from one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from pgolf.core.errors import UserError


class RankLost(UserError):
    """Another process of the evaluation has ended."""

    exit_status = 1


class RanksDisagree(UserError):
    """The processes of one evaluation have come to different numbers."""

    exit_status = 1


class Ranks(Protocol):
    """``rank`` of ``world``."""

    @property
    def rank(self) -> int: ...
    @property
    def world(self) -> int: ...

    def gathered(self, mine: Sequence[Tensor]) -> Sequence[Sequence[Tensor]]:
        """What each rank gives, float32, in the order of ranks. Raises RankLost, as all of these do."""
        ...

    def summed(self, mine: Iterable[Sequence[Tensor]], like: Sequence[Tensor]) -> Sequence[Tensor]:
        """The sum of all that all ranks give, each of the shapes of ``like``: one after another in the order of ranks,
        with the bits of one rank that has all of it; zeros where nobody gives anything."""
        ...

    def told(self, number_n: np.ndarray) -> np.ndarray:
        """Rank 0's numbers, int64 [n]; what others give is not looked at."""
        ...


class OneRank:
    """It has all the work."""

    rank: ClassVar[int] = 0
    world: ClassVar[int] = 1

    def gathered(self, mine: Sequence[Tensor]) -> Sequence[Sequence[Tensor]]:
        return [mine]

    def summed(self, mine: Iterable[Sequence[Tensor]], like: Sequence[Tensor]) -> Sequence[Tensor]:
        return added([], mine) or [torch.zeros_like(tensor) for tensor in like]

    def told(self, number_n: np.ndarray) -> np.ndarray:
        return number_n


ONE = OneRank()


def share(ranks: Ranks, count: int, rank: int | None = None) -> range:
    """Which of ``count`` things in order are this rank's, or another's; they differ by one at most."""
    rank = ranks.rank if rank is None else rank
    return range(count * rank // ranks.world, count * (rank + 1) // ranks.world)


Lane = TypeVar("Lane", int, Tensor)


def owner(ranks: Ranks, lane: Lane) -> Lane:
    """The rank that alone keeps what is remembered, or learnt, of that lane and of no other."""
    return lane % ranks.world


def added(total: list[Tensor], parts: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """``total``, [] for nothing so far, and the parts one after another; in place of the first of them."""
    for part in parts:
        total = [one.add_(other) for one, other in zip(total, part, strict=True)] if total else list(part)
    return total


# --- as one run of numbers, for ways of talking ---------------------------------------------------------------------


def packed(tensors: Sequence[Tensor]) -> tuple[np.ndarray, Tensor]:
    """Their shapes, int64, and all their numbers, float32."""
    shapes = [number for tensor in tensors for number in (tensor.dim(), *tensor.shape)]
    flat = torch.cat([tensor.flatten() for tensor in tensors]) if tensors else torch.zeros(0)
    return np.array(shapes, dtype=np.int64), flat


def unpacked(shape_n: np.ndarray, flat_n: Tensor) -> list[Tensor]:
    numbers, found, first = shape_n.tolist(), [], 0
    while numbers:
        shape, numbers = numbers[1 : 1 + numbers[0]], numbers[1 + numbers[0] :]
        size = int(np.prod(shape, dtype=np.int64))
        found.append(flat_n[first : first + size].view(shape))
        first += size
    return found
