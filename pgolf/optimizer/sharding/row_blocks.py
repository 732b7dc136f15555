"""Each matrix is cut into blocks of rows, and each block is orthogonalised as if it were a matrix.

Formula: rows in B blocks as even as can be; momentum, normalisation and NS in each block by itself; the factor
max(1, M/N)^½ stays that of the whole matrix. Rank r of W computes its B/W blocks of each matrix.
Source: #1204, whose sharding over dimension 0 meets 2-D parameters (its untied repeat MLPs), so that each of 8 ranks
orthogonalises rows of its own; spec optimizer §2. Not recommended: there to repeat what was published.
Cost in bytes: none. Cost in step time: less Newton–Schulz, as blocks are smaller; one all-gather of all updates.
When it hurts: the update is another one: of a 1536 × 512 matrix its norm is 36.1 instead of 21.5, its cosine to the
whole matrix's 0.89. There all matrices are cut, in #1204 those few.

Shapes: K matrices of one shape, M rows (outputs), N columns, B blocks, P blocks of all matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt
from pgolf.optimizer.sharding.base import Bank, Sharding, UpdateOf
from pgolf.train.group import ReplicaGroup
from pgolf.train.replicas import ALONE, Replicas


class RowBlocks(Sharding):
    """``optimizer/sharding=row_blocks``. ``blocks`` of each matrix, whatever the number of processes."""

    shards_state = True

    def __init__(self, *, blocks: PositiveInt) -> None:
        self.blocks = blocks
        self._replicas: Replicas = ALONE

    def average(
        self,
        replicas: Replicas,
        parameters: Sequence[Tensor],
        banks: Sequence[Bank],
        also: Sequence[Tensor],
        clip: float | None,
    ) -> None:
        if self.blocks % replicas.world:
            raise ConfigError(f"optimizer.sharding.blocks: {self.blocks} is no multiple of {replicas.world} processes")
        self._replicas = replicas
        super().average(replicas, parameters, banks, also, clip)

    def updates(self, banks: Sequence[Bank], update_of: UpdateOf) -> Iterator[tuple[Bank, tuple[Tensor, ...]]]:
        rank, mine = self._replicas.rank, self.blocks // self._replicas.world
        for bank in banks:
            rows, columns = bank.key[1]
            padding = (0, 0, 0, -rows % self.blocks)  # rows of zeros change no other row's update
            whole_KMN = torch.nn.functional.pad(bank.gradients(), padding)
            block_KBMN = whole_KMN.unflatten(1, (self.blocks, -1))[:, rank * mine : (rank + 1) * mine]
            update_PMN = update_of(bank, bank.members, block_KBMN.flatten(0, 1))
            update_KMN = update_PMN.view(len(whole_KMN), -1, columns)
            if isinstance(self._replicas, ReplicaGroup):
                all_WKMN = self._replicas.all_shares(update_KMN[None].contiguous())()
                update_KMN = all_WKMN.transpose(0, 1).flatten(1, 2)
            yield bank, update_KMN[:, :rows].unbind()
