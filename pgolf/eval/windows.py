"""Which window scores which position: the one rule behind ``sliding`` and ``non_overlapping``.

Position i (0..T'-1 with T' = N-1) has input x_i and target x_{i+1}. Windows of length L start at
w = 0, S, 2S, … while ``w + L - S < T'``. The first scores all its positions, every later one its last S; the
last one is clipped at T' and scores only what is left. So every position is scored exactly once, with at
least L-S positions of context after the first window, and none is dropped (spec data §5, decisions 4).

With S dividing L and the chunk length, every scored stretch lies in one chunk, so the plan of a chunk needs
nothing but the chunk: the stream may end anywhere, and no window depends on where it does except by clipping.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pgolf.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Window:
    """Inputs x_start .. x_{stop-1}; scores the positions first_scored .. stop-1."""

    start: int
    first_scored: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def keep(self) -> int:
        """How many of the window's last positions are scored."""
        return self.stop - self.first_scored


class WindowPlan(Protocol):
    """What the evaluator asks of an ``eval`` technique. All numbers are in positions."""

    @property
    def name(self) -> str: ...
    @property
    def window(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def chunk_tokens(self) -> int: ...
    @property
    def batch_windows(self) -> int: ...
    @property
    def official_truncation(self) -> bool: ...

    def plan(self, first: int, last: int) -> list[Window]:
        """The windows that score the positions ``first .. last-1`` of one chunk."""
        ...


def check_lengths(place: str, window: int, stride: int, chunk_tokens: int) -> None:
    """Raise ConfigError naming every pair of lengths that does not fit together."""
    problems = []
    if stride > window or window % stride:
        problems.append(f"{place}.stride: {stride} does not divide the window of {window} positions")
    if chunk_tokens % stride:
        problems.append(f"{place}.chunk_tokens: {chunk_tokens} is no multiple of the stride of {stride} positions")
    if window > chunk_tokens:
        problems.append(f"{place}.chunk_tokens: {chunk_tokens} is shorter than the window of {window} positions")
    if problems:
        raise ConfigError(problems)


def plan_windows(first: int, last: int, window: int, stride: int) -> list[Window]:
    """The windows of one chunk by the rule above; ``first`` is a multiple of the stride (or 0)."""
    windows = []
    position = first
    while position < last:
        start = max(0, position - (window - stride))
        stop = min(start + window, last) if start == 0 else min(position + stride, last)
        windows.append(Window(start=start, first_scored=position, stop=stop))
        position = stop
    return windows


def batches(windows: Sequence[Window], batch_windows: int) -> Iterator[tuple[Window, ...]]:
    """Consecutive windows of equal length and equal ``keep``, at most ``batch_windows`` at a time."""
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == batch_windows or (window.length, window.keep) != (batch[0].length, batch[0].keep)):
            yield tuple(batch)
            batch = []
        batch.append(window)
    if batch:
        yield tuple(batch)


def official_length(tokens: int, window: int) -> int:
    """Tokens left by the published truncation, ``⌊(N-1)/window⌋·window + 1`` (only for ``metric=table``)."""
    return (tokens - 1) // window * window + 1
