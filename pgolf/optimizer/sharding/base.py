"""The contract of the group: how gradients are averaged over replicas, and who computes the matrices' updates.

Shapes: K matrices of one shape, M rows (outputs), N columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from pgolf.optimizer.grouped import average

if TYPE_CHECKING:
    from pgolf.train.replicas import Replicas


@dataclass(slots=True)
class Bank:
    """The matrices of one group and one shape that have a gradient."""

    key: tuple[int, torch.Size]
    group: dict[str, Any]
    members: list[Tensor]

    def gradients(self, members: Sequence[Tensor] | None = None) -> Tensor:
        """fp32 [K, M, N], of these members or of all."""
        wanted = self.members if members is None else members
        return torch.stack([p.grad for p in wanted if p.grad is not None]).float()


UpdateOf = Callable[[Bank, "list[Tensor]", Tensor], Tensor]
"""The update of some members, of their gradients; their state goes on."""


class Sharding:
    """An option overrides what it shares out; everything is computed everywhere by default.

    ``shards_state``: where there are several replicas, each has a part of the optimizer's state. ``shards_gradients``:
    and its share of the mean of the matrices' gradients, which themselves stay as they were.
    """

    shards_state: ClassVar[bool] = False
    shards_gradients: ClassVar[bool] = False

    def average(
        self,
        replicas: Replicas,
        parameters: Sequence[Tensor],
        banks: Sequence[Bank],
        also: Sequence[Tensor],
        clip: float | None,
    ) -> None:
        """See ``pgolf.optimizer.grouped.average``; ``banks`` are of the parameters too."""
        average(replicas, parameters, also, clip)

    def updates(self, banks: Sequence[Bank], update_of: UpdateOf) -> Iterator[tuple[Bank, tuple[Tensor, ...]]]:
        """Each bank with the updates of all its members."""
        for bank in banks:
            yield bank, update_of(bank, bank.members, bank.gradients()).unbind()
