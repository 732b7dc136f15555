"""Matrices of a shape are one bank; each process averages, updates and hands on its share of every bank.

Formula: reduce-scatter every bank's gradients, largest first, each padded to a multiple of W matrices; average the
small tensors meanwhile; clip by the norm over all ranks' shares and the small tensors; then bank by bank momentum and
the orthogonalised update of the own share, an all-gather of the updates, and while it is under way the next bank's.
Source: #399, #549 (Parallel Muon), whose gradients and momentum are bf16, whose momentum no checkpoint holds, and which
clips on each rank by its own norm before the reduction; here all three are mended (spec optimizer §2).
Cost in bytes: none. Cost in step time: as many numbers in messages as an all-reduce, and a W-th of Newton–Schulz; #549
gained 2 % of the step, #1218 returned to plain replicas. Memory: a W-th of the momentum.
When it hurts: on gloo, whose reduce-scatter is an all-reduce; with banks of fewer matrices than processes.

Shapes: K matrices of one shape, M rows (outputs), N columns, S matrices of a rank's share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pgolf.optimizer.sharding.base import Bank, Sharding, UpdateOf
from pgolf.train.group import ReplicaGroup
from pgolf.train.replicas import Replicas


class Banks(Sharding):
    """``optimizer/sharding=banks``."""

    shards_state = shards_gradients = True

    def __init__(self) -> None:
        self._group: ReplicaGroup | None = None
        self._shares: dict[tuple[int, torch.Size], Tensor] = {}

    def average(
        self,
        replicas: Replicas,
        parameters: Sequence[Tensor],
        banks: Sequence[Bank],
        also: Sequence[Tensor],
        clip: float | None,
    ) -> None:
        self._group = group = replicas if isinstance(replicas, ReplicaGroup) else None
        if group is None:
            super().average(replicas, parameters, banks, also, clip)
            return
        banked = {id(p) for bank in banks for p in bank.members}
        small = [p.grad for p in parameters if p.grad is not None and id(p) not in banked]
        waiting = [(bank, group.share_of_mean(_padded(bank, group.world))) for bank in _largest_first(banks)]
        group.mean_([*also, *small])
        self._shares = {bank.key: wait() for bank, wait in waiting}
        if clip is not None:
            # Padding is zero and every matrix is on one rank: the squares of all shares are the square of the norm.
            squares = torch.stack([share.square().sum() for share in self._shares.values()]).sum()
            group.sum_([squares])
            norm = (squares + sum(gradient.float().square().sum() for gradient in small)).sqrt()
            # As torch has it, but for a norm that is no number: see ``average``.
            factor = (clip / (norm.nan_to_num(nan=0.0, posinf=0.0) + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([*self._shares.values(), *small], factor)

    def updates(self, banks: Sequence[Bank], update_of: UpdateOf) -> Iterator[tuple[Bank, tuple[Tensor, ...]]]:
        if self._group is None:
            yield from super().updates(banks, update_of)
            return
        before = None
        for bank in _largest_first(banks):
            share_SMN = self._shares.pop(bank.key)
            first = len(share_SMN) * self._group.rank
            members = bank.members[first : first + len(share_SMN)]
            update_SMN = torch.zeros_like(share_SMN)
            if members:
                update_SMN[: len(members)] = update_of(bank, members, share_SMN[: len(members)])
            gathered = (bank, self._group.all_shares(update_SMN))
            if before is not None:
                yield before[0], before[1]()[: len(before[0].members)].unbind()
            before = gathered
        if before is not None:
            yield before[0], before[1]()[: len(before[0].members)].unbind()


def _largest_first(banks: Sequence[Bank]) -> list[Bank]:
    return sorted(banks, key=lambda bank: -len(bank.members) * bank.key[1].numel())


def _padded(bank: Bank, world: int) -> Tensor:
    gradient_KMN = bank.gradients()
    return torch.nn.functional.pad(gradient_KMN, (0, 0, 0, 0, 0, -len(gradient_KMN) % world))
