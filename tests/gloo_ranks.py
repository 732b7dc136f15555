"""Ranks of an evaluation that talk through torch's process groups, where nothing is sealed: gloo between processes on
CPUs. A run's own talk through ``pgolf.eval.links``; what an evaluation does must not depend on which it is."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from pgolf.core.errors import RankLost
from pgolf.core.ranks import added

# Numbers that are told at once with how many there are: most messages are one block's tokens.
_AT_ONCE = 255
# An evaluation is not held up longer than that by a rank that says nothing.
SILENCE_SECONDS = 1800.0


class GroupRanks:
    """All processes of the default group. ``device``: where their tensors are."""

    def __init__(self, device: str = "cpu") -> None:
        self.rank, self.world, self.device = dist.get_rank(), dist.get_world_size(), torch.device(device)

    def gathered(self, mine: Sequence[Tensor]) -> Sequence[Sequence[Tensor]]:
        shape_n, flat_n = _packed(mine)
        size_R2 = self._all(torch.tensor([len(shape_n), len(flat_n)]))
        most = int((2 * size_R2[:, 0] + size_R2[:, 1]).max())
        # Both in one message; the shapes as the bits that they are.
        said_n = torch.cat([torch.from_numpy(shape_n.view(np.float32)).to(self.device), flat_n.to(self.device)])
        said_Rn = self._all(torch.nn.functional.pad(said_n, (0, most - len(said_n))))
        found = []
        for (shapes, numbers), told_n in zip(size_R2.tolist(), said_Rn, strict=True):
            theirs_n = told_n[: 2 * shapes].cpu().numpy().view(np.int64)
            found.append(_unpacked(theirs_n, told_n[2 * shapes : 2 * shapes + numbers]))
        return found

    def summed(self, mine: Iterable[Sequence[Tensor]], like: Sequence[Tensor]) -> Sequence[Tensor]:
        """The sum goes from rank to rank, each adding what it has, and from the last to all."""
        parts = list(mine)
        # How many have been added, then their sum.
        total_n = torch.zeros(1 + sum(tensor.numel() for tensor in like), device=self.device)
        with _named():
            if self.rank:
                dist.recv(total_n, self.rank - 1)
            total = _cut(total_n[1:], like) if total_n[0] else []
            added_n = _packed(added(total, parts))[1]
            if len(added_n):
                total_n[0] += len(parts)
                total_n[1:] = added_n
            if self.rank + 1 < self.world:
                dist.send(total_n, self.rank + 1)
            dist.broadcast(total_n, self.world - 1)
        return _cut(total_n[1:], like)

    def told(self, number_n: np.ndarray) -> np.ndarray:
        said_n = torch.zeros(1 + _AT_ONCE, dtype=torch.int64)
        if self.rank == 0:
            said_n[0] = len(number_n)
            said_n[1 : 1 + len(number_n)] = torch.from_numpy(number_n[:_AT_ONCE].astype(np.int64))
        said_n = self._from_first(said_n)
        count = int(said_n[0])
        if count <= _AT_ONCE:
            return said_n[1 : 1 + count].numpy()
        whole_n = torch.zeros(count, dtype=torch.int64)
        if self.rank == 0:
            whole_n[:] = torch.from_numpy(number_n.astype(np.int64))
        return self._from_first(whole_n).numpy()

    def _all(self, mine_n: Tensor) -> Tensor:
        """Of all ranks, which have as many numbers: [R, n]."""
        found = [torch.empty_like(mine_n, device=self.device) for _ in range(self.world)]
        with _named():
            dist.all_gather(found, mine_n.to(self.device))
        return torch.stack(found)

    def _from_first(self, number_n: Tensor) -> Tensor:
        there_n = number_n.to(self.device)
        with _named():
            dist.broadcast(there_n, 0)
        return there_n.cpu()


@contextmanager
def joined(rank: int, world: int, meeting: str, device: str = "cpu") -> Iterator[GroupRanks]:
    """A member of a group, as long as the block lasts. ``meeting``: where they find each other, as
    ``torch.distributed.init_process_group`` has it (``file:///...``, ``env://``)."""
    where = torch.device(device)
    dist.init_process_group(
        "nccl" if where.type == "cuda" else "gloo",
        init_method=meeting,
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=SILENCE_SECONDS),
        device_id=where if where.type == "cuda" else None,
    )
    try:
        yield GroupRanks(device)
    finally:
        dist.destroy_process_group()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo and nccl know none more precise
        raise RankLost(
            f"ranks: another of the {dist.get_world_size()} processes of this evaluation has ended or is silent "
            f"(process {os.getpid()}, rank {dist.get_rank()}): {str(error).splitlines()[0]}"
        ) from error


def _cut(flat_n: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = flat_n.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


def _packed(tensors: Sequence[Tensor]) -> tuple[np.ndarray, Tensor]:
    """Their shapes, int64, and all their numbers, float32."""
    shapes = [number for tensor in tensors for number in (tensor.dim(), *tensor.shape)]
    flat = torch.cat([tensor.flatten() for tensor in tensors]) if tensors else torch.zeros(0)
    return np.array(shapes, dtype=np.int64), flat


def _unpacked(shape_n: np.ndarray, flat_n: Tensor) -> list[Tensor]:
    numbers, found, first = shape_n.tolist(), [], 0
    while numbers:
        shape, numbers = numbers[1 : 1 + numbers[0]], numbers[1 + numbers[0] :]
        size = math.prod(shape)
        found.append(flat_n[first : first + size].view(shape))
        first += size
    return found
