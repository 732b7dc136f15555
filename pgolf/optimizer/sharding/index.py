"""Each matrix's update is computed by one process: matrix i by rank i mod W, and handed to the others.

Formula: ``O_i`` at rank i mod W, zeros elsewhere, summed over ranks; exact, as one summand of each number is not zero.
Source: the challenge's baseline (its Muon); spec optimizer §2. Cost in bytes: none. Cost in step time: one all-reduce
of all matrices more, for a W-th of Newton–Schulz and of the momentum's memory on each process.
When it hurts: where messages are slow; the sum carries zeros, twice what an all-gather would.

Shapes: K matrices of one shape, M rows (outputs), N columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pgolf.optimizer.sharding.base import Bank, Sharding, UpdateOf
from pgolf.train.group import ReplicaGroup
from pgolf.train.replicas import Replicas


class Index(Sharding):
    """``optimizer/sharding=index``."""

    shards_state = True

    def __init__(self) -> None:
        self._group: ReplicaGroup | None = None

    def average(
        self,
        replicas: Replicas,
        parameters: Sequence[Tensor],
        banks: Sequence[Bank],
        also: Sequence[Tensor],
        clip: float | None,
    ) -> None:
        self._group = replicas if isinstance(replicas, ReplicaGroup) else None
        super().average(replicas, parameters, banks, also, clip)

    def updates(self, banks: Sequence[Bank], update_of: UpdateOf) -> Iterator[tuple[Bank, tuple[Tensor, ...]]]:
        group = self._group
        if group is None:
            yield from super().updates(banks, update_of)
            return
        found, index = [], 0
        for bank in banks:
            mine = [place for place in range(len(bank.members)) if (index + place) % group.world == group.rank]
            index += len(bank.members)
            members = [bank.members[place] for place in mine]
            whole_KMN = torch.zeros(len(bank.members), *bank.key[1], device=bank.members[0].device)
            if mine:
                whole_KMN[mine] = update_of(bank, members, bank.gradients(members))
            found.append(whole_KMN)
        group.sum_(found)
        for bank, whole_KMN in zip(banks, found, strict=True):
            yield bank, whole_KMN.unbind()
