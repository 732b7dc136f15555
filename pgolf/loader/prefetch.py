"""Read one batch ahead on a thread, in the same order; memory is pinned only where there is CUDA.

Cost: one batch of memory; gains what reading costs a step. Hurts: nothing known.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pgolf.core.protocols import Loader

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch with the inner loader's state right after it, or what went wrong instead."""

    batch: tuple[Tensor, Tensor] | None
    state_after: dict[str, Any] | None
    error: BaseException | None


class Prefetch:
    """Wraps a loader. ``state`` is the state after the last batch *delivered*, not the one read ahead."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._state = loader.state()
        self._pin = torch.cuda.is_available()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._queue: queue.Queue[_Ready] = queue.Queue(maxsize=1)

    @property
    def by_rank(self) -> bool:
        return self._loader.by_rank

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The next batch; an error of the reading thread is raised here, in its turn."""
        if self._thread is None:
            self._start()
        ready = self._queue.get()
        if ready.error is not None:
            self.close()
            raise ready.error
        assert ready.batch is not None and ready.state_after is not None
        self._state = ready.state_after
        return ready.batch

    def state(self) -> dict[str, Any]:
        return dict(self._state)

    def restore(self, state: Mapping[str, Any]) -> None:
        self.close()
        self._loader.restore(state)
        self._state = self._loader.state()

    def close(self) -> None:
        """Stop the thread and forget what it read ahead; ``next_batch`` would go on where it was."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        self._loader.restore(self._state)

    def _start(self) -> None:
        self._stop, self._queue = threading.Event(), queue.Queue(maxsize=1)
        arguments = (self._loader, self._queue, self._stop, self._pin)
        self._thread = threading.Thread(target=_read_ahead, args=arguments, name="prefetch", daemon=True)
        self._thread.start()


def _read_ahead(loader: Loader, ready: queue.Queue[_Ready], stop: threading.Event, pin: bool) -> None:
    """The thread's body; it holds no reference to the Prefetch object."""
    while not stop.is_set():
        try:
            x_BT, y_BT = loader.next_batch()
            batch = (x_BT.pin_memory(), y_BT.pin_memory()) if pin else (x_BT, y_BT)
            item = _Ready(batch, loader.state(), None)
        except BaseException as error:
            item = _Ready(None, None, error)
        while not stop.is_set():
            try:
                ready.put(item, timeout=_POLL_SECONDS)
                break
            except queue.Full:
                continue
        if item.error is not None:
            return
