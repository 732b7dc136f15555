"""What this machine can do at most, measured: matrix products, copying, reads one after another.

Each is the best of what fits into a short time, as many threads of torch as there are now; so other processes disturb
them little. A benchmark measures them in each of its rounds, so that a share of them is of the same minute.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch

PEAK_WIDTH = {"cpu": 768, "cuda": 8192}  # of the square matrices that are multiplied
COPIED_BYTES = 1 << 27  # beyond the caches of most processors
CHASED_BYTES = 1 << 26
_LINE = 16  # int32 numbers of a cache line
_CHASED = 100_000  # reads, about ten milliseconds
Clock = Callable[[], float]


def matmul_peak(
    device: torch.device, dtype: torch.dtype, seconds: float = 0.2, now: Clock = time.perf_counter
) -> float:
    """Operations a second of the quickest of the large square products that fit into ``seconds``, two at least."""
    width = PEAK_WIDTH.get(device.type, PEAK_WIDTH["cpu"])
    a, b = (torch.full((width, width), 0.5, dtype=dtype, device=device) for _ in range(2))
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def product() -> None:
        wait()
        torch.mm(a, b)
        wait()

    torch.mm(a, b)
    return 2 * width**3 / _quickest(product, seconds, now)


def copy_bandwidth(seconds: float = 0.1, now: Clock = time.perf_counter, size: int = COPIED_BYTES) -> float:
    """Bytes a second, read and written ones together, of the quickest copies of ``size`` bytes in memory."""
    source, target = (torch.zeros(size // 8, dtype=torch.int64) for _ in range(2))
    target.copy_(source)  # the system gives pages at their first use
    return 2 * size / _quickest(lambda: target.copy_(source), seconds, now)


def reads_in_turn(seconds: float = 0.05, now: Clock = time.perf_counter) -> float:
    """Reads a second from places all over ``CHASED_BYTES``, each known only from the one before; one thread."""
    chase, ring_N = _chaser(), _ring(CHASED_BYTES // 4)
    chase(ring_N, 1)
    return _CHASED / _quickest(lambda: chase(ring_N, _CHASED), seconds, now)


def _quickest(action: Callable[[], object], seconds: float, now: Clock) -> float:
    """Of as many as fit into ``seconds``, two at least."""
    best, began, tried = math.inf, now(), 0
    while tried < 2 or now() - began < seconds:
        start = now()
        action()
        best, tried = min(best, now() - start), tried + 1
    return best


@cache
def _ring(count: int) -> np.ndarray:
    """int32: each cache line's first number is the place of the next line's, in a random order, around all of them."""
    order_n = np.random.default_rng(0).permutation(count // _LINE).astype(np.int32) * _LINE
    ring_N = np.zeros(count, dtype=np.int32)
    ring_N[order_n] = np.roll(order_n, -1)
    return ring_N


@cache
def _chaser() -> Callable[[np.ndarray, int], int]:
    from numba import njit

    @njit
    def chase(ring_N, steps):
        place = 0
        for _ in range(steps):
            place = ring_N[place]
        return place

    return chase
