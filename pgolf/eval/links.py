"""Ranks that talk through pipes which were there before they were closed in: those of a sealed evaluation.

A sealed process may open no socket and start no process, and must have a single thread when it is closed
(``pgolf.eval.isolation``), while torch's process groups want sockets and threads. So ``split`` forks a process that is
to be sealed before that, and what its ranks can reach of each other are the ends they hold. All messages go through the
first rank.

This is the judge's part, as ``pgolf.eval.sealed_child``: it is in memory before the code that makes scores comes in.
"""

# R ranks

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from pgolf.core.errors import ConfigError, RankLost
from pgolf.core.ranks import added
from pgolf.eval.frames import receive, send

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Link:
    """To one other process. ``pid``: of who was forked, 0 for who forked."""

    hears: IO[bytes]
    says: IO[bytes]
    pid: int


def split(world: int) -> tuple[int, list[Link]]:
    """Fork this process until there are ``world`` of it: (which of them it is, its links). The first has one to each of
    the others, these have one to the first. Raises ConfigError."""
    if world > 1 and not hasattr(os, "fork"):
        raise ConfigError(f"eval_ranks: {world}; this system forks no processes, so an evaluation has one")
    links: list[Link] = []
    for rank in range(1, world):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            for link in links:  # to the ranks before
                link.hears.close()
                link.says.close()
            ours.close()
            return rank, [_link(theirs, 0)]
        theirs.close()
        links.append(_link(ours, pid))
    return 0, links


def _link(ends: socket.socket, pid: int) -> Link:
    number = ends.detach()
    return Link(os.fdopen(number, "rb"), os.fdopen(os.dup(number), "wb"), pid)


class LinkedRanks:
    """See ``pgolf.core.ranks.Ranks``."""

    def __init__(self, rank: int, links: Sequence[Link], world: int, device: str) -> None:
        self.rank, self.world, self.device, self._links = rank, world, device, list(links)

    def gathered(self, mine: Sequence[Tensor]) -> Sequence[Sequence[Tensor]]:
        if self.rank:
            self._say(0, *_written(mine))
            others = [self._tensors(0) for _ in range(self.world - 1)]
            return [*others[: self.rank], mine, *others[self.rank :]]
        said = [_written(mine), *(self._hear(other) for other in range(self.world - 1))]
        for other in range(self.world - 1):
            for rank, (shapes, numbers) in enumerate(said):
                if rank != other + 1:
                    self._say(other, shapes, numbers)
        return [mine, *(self._read(*message) for message in said[1:])]

    def summed(self, mine: Iterable[Sequence[Tensor]], like: Sequence[Tensor]) -> Sequence[Tensor]:
        """The sum goes to each rank in turn and comes back with what that one has added."""
        if self.rank:
            parts = list(mine)  # while it is not here yet
            self._say(0, *_written(added(self._tensors(0), parts)))
            total = self._tensors(0)
        else:
            total = added([], mine)
            for other in range(self.world - 1):
                self._say(other, *_written(total))
                total = self._tensors(other)
            for other in range(self.world - 1):
                self._say(other, *_written(total))
        return total or [tensor.new_zeros(tensor.shape) for tensor in like]

    def told(self, number_n: np.ndarray) -> np.ndarray:
        import numpy

        if self.rank:
            _, payload = self._hear(0)
            return numpy.frombuffer(payload, dtype="<i8").astype(numpy.int64)
        for other in range(self.world - 1):
            self._say(other, {"told": len(number_n)}, number_n.astype("<i8").tobytes())
        return number_n

    def _tensors(self, other: int) -> list[Tensor]:
        return self._read(*self._hear(other))

    def _read(self, message: Mapping[str, Any], numbers: bytes) -> list[Tensor]:
        import torch

        shapes = message["shapes"]
        if not shapes:
            return []
        sizes = [math.prod(shape) for shape in shapes]
        flat = torch.frombuffer(bytearray(numbers), dtype=torch.float32) if numbers else torch.zeros(0)
        parts = flat.to(self.device).split(sizes)
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _say(self, other: int, message: Mapping[str, Any], payload: bytes) -> None:
        with self._named(other):
            send(self._links[other].says, message, payload)

    def _hear(self, other: int) -> tuple[dict[str, Any], bytes]:
        with self._named(other):
            message, payload = receive(self._links[other].hears)
        if "ended" in message:
            raise self._lost(other, f": {last_words(message)}")
        return message, payload

    @contextmanager
    def _named(self, other: int) -> Iterator[None]:
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise self._lost(other) from None

    def _lost(self, other: int, why: str = "") -> RankLost:
        rank = 0 if self.rank else other + 1
        return RankLost(f"evaluation: rank {rank} of its {self.world} processes has ended before it was done{why}")


def last_words(message: Mapping[str, Any]) -> str:
    """Of a process that has ended, as ``pgolf.eval.sealed_child`` says it."""
    return str(message.get("message") or message.get("violations") or message["ended"])


def _written(tensors: Sequence[Tensor]) -> tuple[dict[str, Any], bytes]:
    whole = [tensor.detach().cpu().contiguous().numpy() for tensor in tensors]
    return {"shapes": [list(array.shape) for array in whole]}, b"".join(array.tobytes() for array in whole)
