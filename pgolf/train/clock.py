"""The training clock: counts training seconds only, pauses for validation, can be replaced in tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TrainClock:
    """``elapsed`` seconds since ``start()``, less everything inside ``paused()``, plus what ``restore`` brought.

    ``now`` returns seconds; ``synchronise`` is called before each reading so that queued device work counts.
    """

    def __init__(
        self, now: Callable[[], float] = time.perf_counter, synchronise: Callable[[], None] = lambda: None
    ) -> None:
        self._now, self._synchronise = now, synchronise
        self._start: float | None = None
        self._before = self._outside = self._lapped = 0.0
        self.laps: dict[str, float] = {}
        self._paused_at: float | None = None

    def read(self) -> float:
        """Seconds since whenever, once all queued work is done."""
        self._synchronise()
        return self._now()

    def start(self) -> None:
        self._synchronise()
        self._start, self._outside = self._now(), 0.0
        self._lapped, self.laps = self._before, {}

    def lap(self, name: str) -> None:
        """What has elapsed since the last lap belongs to ``name`` in ``laps``. Waits for no device, so that its work
        belongs to the lap in which something else does."""
        if self._start is not None:
            elapsed = self._before + self._now() - self._start - self._outside
            self.laps[name] = self.laps.get(name, 0.0) + elapsed - self._lapped
            self._lapped = elapsed

    def restore(self, elapsed: float) -> None:
        """Count from ``elapsed`` seconds on: the next ``start`` goes on from there."""
        self._start, self._before, self._outside = None, elapsed, 0.0

    def another(self) -> TrainClock:
        """A clock of the same time that stands at 0."""
        return TrainClock(self._now, self._synchronise)

    @property
    def elapsed(self) -> float:
        if self._start is None:
            return self._before
        if self._paused_at is not None:
            return self._before + self._paused_at - self._start - self._outside
        self._synchronise()
        return self._before + self._now() - self._start - self._outside

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._synchronise()
        self._paused_at = began = self._now()
        try:
            yield
        finally:
            self._synchronise()
            self._outside += self._now() - began
            self._paused_at = None
