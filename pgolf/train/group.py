"""Replicas that talk through torch's process groups: gloo between processes on CPUs, nccl between GPUs.

What only steers (seconds, who stops) goes through gloo in any case, so that a replica that has died is noticed by its
closed connection and not by a kernel that never ends. Who leaves before the end says why in the store in which they
met, where the others look for the reason. nccl goes the same ways, and has not been run.
"""

# N numbers of several tensors behind each other

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pgolf.core.errors import ConfigError, RankLost, RanksDisagree, UserError
from pgolf.core.process import Process
from pgolf.core.signals import exit_status

MEETING_SECONDS = 300.0
"""How long the first waits for the last to come."""
SILENCE_SECONDS = 600.0
"""A replica that says nothing in the middle of a step is not waited for longer. One that has died is noticed at once,
where its connections are the system's to close."""
PATIENCE_SECONDS = 7 * 86_400.0
"""While rank 0 reads the data or scores, the others wait."""
LINGER_SECONDS = 3.0
"""Who keeps the store stays that long for the others to read why it leaves."""

_TORCHRUN = "TORCHELASTIC_RUN_ID"  # it keeps the store itself

BUCKET_NUMBERS = 8 * 2**20
"""Numbers that are sent as one message: small tensors together."""


class ReplicaGroup:
    """The default group, until ``together`` ends. ``device``: where the tensors are."""

    def __init__(self, process: Process, device: torch.device, store: dist.Store, silence_seconds: float) -> None:
        self.rank, self.world, self.process = process.rank, process.world, process
        self.store = store
        silence, patience = timedelta(seconds=silence_seconds), timedelta(seconds=PATIENCE_SECONDS)
        self._steering = None if device.type == "cpu" else dist.new_group(backend="gloo", timeout=silence)
        self._patient = dist.new_group(backend="gloo", timeout=patience)

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """All replicas get the same bits."""
        self.sum_(tensors)
        torch._foreach_div_(list(tensors), self.world)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """In buckets that are filled in order, all on their way at once."""
        with self.named():
            sent = [(bucket, flat, dist.all_reduce(flat, async_op=True)) for bucket, flat in _buckets(tensors)]
            for bucket, flat_N, work in sent:
                work.wait()
                if flat_N.data_ptr() != bucket[0].data_ptr():
                    parts = flat_N.split([tensor.numel() for tensor in bucket])
                    torch._foreach_copy_(list(bucket), [p.view_as(t) for p, t in zip(parts, bucket, strict=True)])

    def share_of_mean(self, whole: Tensor) -> Callable[[], Tensor]:
        """On its way: this replica's share, along the first dimension, of the mean of what all give. Where the backend
        has no reduce-scatter, a sum of everything, of which the share is taken."""
        share = whole.new_empty(len(whole) // self.world, *whole.shape[1:])
        with self.named():
            try:
                work = _reduce_scatter(share, whole, async_op=True)
            except (RuntimeError, NotImplementedError) as error:
                if "support" not in str(error) and not isinstance(error, NotImplementedError):
                    raise
                work = dist.all_reduce(whole, async_op=True)
                share = whole[self.rank * len(share) : (self.rank + 1) * len(share)]

        def wait() -> Tensor:
            with self.named():
                work.wait()
            return share.div_(self.world)

        return wait

    def all_shares(self, share: Tensor) -> Callable[[], Tensor]:
        """On their way: the shares of all replicas behind each other, along the first dimension."""
        whole = share.new_empty(len(share) * self.world, *share.shape[1:])
        with self.named():
            work = _all_gather(whole, share, async_op=True)

        def wait() -> Tensor:
            with self.named():
                work.wait()
            return whole

        return wait

    def largest(self, number: float) -> float:
        said = torch.tensor([number], dtype=torch.float64)
        with self.named():
            dist.all_reduce(said, dist.ReduceOp.MAX, group=self._steering)
        return float(said)

    def first(self, number: float) -> float:
        said = torch.tensor([number], dtype=torch.float64)
        with self.named():
            dist.broadcast(said, 0, group=self._steering)
        return float(said)

    def wait(self) -> None:
        self.told(0)

    def told(self, number: int) -> int:
        """Rank 0's, however long it takes; and until all have heard it."""
        said = torch.tensor([number])
        with self.named():
            dist.broadcast(said, 0, group=self._patient)
            dist.barrier(group=self._patient)
        return int(said)

    def shared(self, thing: Any) -> Any:
        said = [thing]
        with self.named():
            dist.broadcast_object_list(said, 0, group=self._patient)
        return said[0]

    def gathered(self, thing: Any) -> list[Any]:
        content = io.BytesIO()
        torch.save(thing, content)  # which writes what several tensors are views of once
        said: list[Any] = [None] * self.world
        with self.named():
            dist.all_gather_object(said, content.getvalue(), group=self._patient)
        return [torch.load(io.BytesIO(one), map_location="cpu", weights_only=True) for one in said]

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()

    def agree(self, number: float, what: str) -> None:
        """Raises RanksDisagree unless all say the same."""
        least, most = -self.largest(-number), self.largest(number)
        if not least == most == number:
            raise RanksDisagree(
                f"ranks: the {self.world} processes of this training differ in {what}: from {least!r} to {most!r}, "
                f"here (rank {self.rank}) {number!r}"
            )

    @contextmanager
    def named(self) -> Iterator[None]:
        """Around whatever another replica must answer: who does not is named, with its reason if it has left one."""
        try:
            yield
        except RuntimeError as error:  # gloo and nccl know none more precise
            raise self._lost(f"another of the {self.world} processes has ended or is silent: {_said(error)}") from error

    def _lost(self, otherwise: str) -> RankLost:
        for rank in range(self.world):
            word = None if rank == self.rank else self._word(f"left/{rank}")
            if word is not None:
                told = json.loads(word)
                lost = RankLost(f"rank {rank} has ended: {told['reason']}")
                lost.exit_status = told["status"] if rank == 0 else RankLost.exit_status
                return lost
        return RankLost(f"rank {self.rank} of {self.world}: {otherwise}")

    def _word(self, key: str) -> str | None:
        with contextlib.suppress(RuntimeError):  # who kept the store has ended
            if self.store.check([key]):
                return self.store.get(key).decode()
        return None

    def leave(self, error: BaseException) -> None:
        """Say why, before the connections close."""
        if isinstance(error, UserError):
            reason, status = str(error), error.exit_status
        elif isinstance(error, KeyboardInterrupt):
            reason, status = str(error) or "stopped by Ctrl-C", exit_status(error)
        else:
            reason, status = f"{type(error).__name__}: {error}", 1
        with contextlib.suppress(RuntimeError):
            self.store.set(f"left/{self.rank}", json.dumps({"reason": reason, "status": status}))

    def linger(self) -> None:
        """Until all others have noticed, where the store ends with this process."""
        last, waited = time.monotonic() + LINGER_SECONDS, [rank for rank in range(self.world) if rank != self.rank]
        while waited and time.monotonic() < last:
            waited = [rank for rank in waited if self._word(f"left/{rank}") is None]
            time.sleep(0.02)


# As torch names them from 2.13 on, and before.
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def _backend(device: torch.device) -> str:
    """Raises ConfigError where torch has none for this device."""
    backends = {"cpu": ("gloo", dist.is_gloo_available), "cuda": ("nccl", dist.is_nccl_available)}
    name, available = backends.get(device.type, ("", lambda: False))
    if not available():
        there = ", ".join(f"{name} ({kind})" for kind, (name, has) in backends.items() if has())
        raise ConfigError(
            f"device: {device.type} processes cannot train together: torch here has no {name or 'backend'} for it; it "
            f"has {there or 'none'}"
        )
    return name


def _said(error: BaseException) -> str:
    """The first sentence, without the place in torch's sources."""
    lines = re.sub(r"^\[[^\]]*\] *", "", str(error)).splitlines() or [type(error).__name__]
    return lines[0].split(". ")[0]


def _buckets(tensors: Sequence[Tensor]) -> Iterator[tuple[list[Tensor], Tensor]]:
    """The tensors of one type in order, in lists of at most ``BUCKET_NUMBERS``; a large one alone and where it is."""
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor)
    for members in by_type.values():
        bucket: list[Tensor] = []
        for tensor in members:
            if bucket and sum(t.numel() for t in bucket) + tensor.numel() > BUCKET_NUMBERS:
                yield bucket, _flat(bucket)
                bucket = []
            bucket.append(tensor)
        yield bucket, _flat(bucket)


def _flat(bucket: Sequence[Tensor]) -> Tensor:
    """Their numbers; of a single tensor where they are."""
    if len(bucket) == 1 and bucket[0].is_contiguous():
        return bucket[0].view(-1)
    return torch.cat([tensor.flatten() for tensor in bucket])


@contextmanager
def together(
    process: Process, device: torch.device, silence_seconds: float = SILENCE_SECONDS
) -> Iterator[ReplicaGroup]:
    """One of the processes that meet at ``process.meeting``. Raises RankLost where not all of them come."""
    backend = _backend(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    meeting, silence = timedelta(seconds=MEETING_SECONDS), timedelta(seconds=silence_seconds)
    try:
        store = next(dist.rendezvous(process.meeting, process.rank, process.world, timeout=meeting))[0]
        store.set_timeout(meeting)
        dist.init_process_group(
            backend,
            store=store,
            rank=process.rank,
            world_size=process.world,
            timeout=silence,
            device_id=device if device.type == "cuda" else None,
        )
        group = ReplicaGroup(process, device, store, silence_seconds)
    except (RuntimeError, ValueError) as error:
        raise RankLost(
            f"ranks: {process.world} processes were to meet at {process.meeting}, and rank {process.rank} met not all "
            f"of them: {_said(error)}"
        ) from error
    try:
        yield group
    except BaseException as error:
        group.leave(error)
        dist.destroy_process_group()  # closes the connections: who waits for this one waits no more
        if process.rank == 0 and not process.meeting.startswith("file:") and _TORCHRUN not in os.environ:
            group.linger()
        raise
    group.wait()  # without it gloo aborts some processes that have ended well
    dist.destroy_process_group()
