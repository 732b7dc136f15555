"""Ranks: the processes that share the work of one evaluation, and all that they say to each other.

Each of them runs the same program on the same numbers. What is shared out, one rank computes and all of them get; what
one alone can know, rank 0 tells. So all of them hold the same bits at all times, and other prices would be seen in the
end (``RanksDisagree``). One process is ``OneRank``, which shares with nobody. Sealed processes, which may open no
sockets, talk through ``pgolf.eval.links``.

Every rank calls the same methods in the same order, from one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:  # a sealed process is closed before it imports these
    import numpy as np
    from torch import Tensor


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
        return added([], mine) or [tensor.new_zeros(tensor.shape) for tensor in like]

    def told(self, number_n: np.ndarray) -> np.ndarray:
        return number_n


ONE = OneRank()


def share(ranks: Ranks, count: int, rank: int | None = None) -> range:
    """Which of ``count`` things in order are this rank's, or another's; they differ by one at most."""
    rank = ranks.rank if rank is None else rank
    return range(count * rank // ranks.world, count * (rank + 1) // ranks.world)


Lane = TypeVar("Lane", int, "Tensor")


def owner(ranks: Ranks, lane: Lane) -> Lane:
    """The rank that alone keeps what is remembered, or learnt, of that lane and of no other."""
    return lane % ranks.world


def added(total: list[Tensor], parts: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """``total``, [] for nothing so far, and the parts one after another; in place of the first of them."""
    for part in parts:
        total = [one.add_(other) for one, other in zip(total, part, strict=True)] if total else list(part)
    return total
