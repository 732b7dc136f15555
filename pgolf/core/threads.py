"""Do the same to several things at once, in threads: for work that lets go of the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many this process may use; where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threaded(run: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``run`` of each item, in order, by as many threads as there are cores; raises what the first of them raised."""
    if len(items) < 2:
        return [run(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(len(items), cores())) as pool:
        return list(pool.map(run, items))
