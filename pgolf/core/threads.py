"""Threads: the same done to several things at once, and how long kernels' threads spin while they wait.

``threaded`` is for work that lets go of the interpreter's lock. Kernels share their work among threads of OpenMP,
which wait for each other at the end of every kernel: spinning, which is quick, and ruinous as soon as another
process wants the core that spins (decisions 20).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SPINS = 10_000


def cores() -> int:
    """How many this process may use; where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threaded(run: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None) -> list[Result]:
    """``run`` of each item, in order, by ``workers`` threads (None: one a core), of which this is one; raises what the
    first raised."""
    workers = min(len(items), cores() if workers is None else workers)
    if workers < 2:
        return [run(item) for item in items]
    todo, done, failed = iter(range(len(items))), dict[int, Result](), dict[int, Exception]()

    def work() -> None:
        for index in todo:  # whichever thread is free takes the next
            try:
                done[index] = run(items[index])
            except Exception as error:
                failed[index] = error

    with contextlib.nullcontext(_kept[-1]) if _kept else ThreadPoolExecutor(max_workers=workers - 1) as pool:
        others = [pool.submit(work) for _ in range(workers - 1)]
        work()
        for other in others:
            if not other.cancel():  # all is taken, and who has not begun need not
                other.result()
    if failed:
        raise failed[min(failed)]
    return [done[index] for index in range(len(items))]


_kept: list[ThreadPoolExecutor] = []


@contextmanager
def kept_threads() -> Iterator[None]:
    """While it lasts, ``threaded`` has the same threads each time. A fresh one gets its memory page by page from the
    system, which costs short work a third of its time."""
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        _kept.append(pool)
        try:
            yield
        finally:
            _kept.remove(pool)


class Behind:
    """Work done in order by one thread beside the one that hands it over, at most one piece ahead of it.

    ``put`` and ``done`` raise what a piece before raised, and no later piece is begun. ``beside`` False: no thread,
    each piece is done where it is handed over.
    """

    def __init__(self, beside: bool) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1) if beside else None
        self._last: Future[None] | None = None

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def put(self, piece: Callable[[], None]) -> None:
        if self._pool is None:
            piece()
            return
        self.done()
        self._last = self._pool.submit(piece)

    def done(self) -> None:
        """Wait for all of it."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


class CoreShare:
    """How much of a processor core's time work got that could have used all of it (decisions 20).

    ``counting`` goes around computing in one thread, in several at a time if need be; what waits stays outside.
    """

    def __init__(self) -> None:
        self._seconds = self._cpu_seconds = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def counting(self) -> Iterator[None]:
        began = time.perf_counter(), time.thread_time()
        yield
        with self._lock:
            self._seconds += time.perf_counter() - began[0]
            self._cpu_seconds += time.thread_time() - began[1]

    @property
    def seconds(self) -> float:
        """That were counted, of all threads together."""
        return self._seconds

    @property
    def share(self) -> float | None:
        """In [0, 1]; None where nothing has been counted."""
        return min(1.0, self._cpu_seconds / self._seconds) if self._seconds else None


def bound_spinning() -> None:
    """Let kernels' threads spin for a bounded time before they sleep, unless the user's environment decides.

    Called before torch is imported: OpenMP reads its environment once, when it is loaded. GNU's spins 300,000 times
    by default, 10 to 20 ms here, far longer than the gap between two kernels.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
        os.environ["KMP_BLOCKTIME"] = "1"  # milliseconds: Intel's, for builds of torch that bring it
