"""Stop before the budget's seconds are over.

Stops after a step when ``elapsed + max(last ten steps' seconds) > budget``. The longest of them, not the mean of
all, because a busy machine slows down in mid-run.
Source: spec optimizer §7 (a record that ended at 601.15 s was challenged, #1908, #1956).
Cost in bytes: none. Cost in step time: none; the seconds left unused are fewer than the longest
recent step's.
Hurts: where one recent step was unusually slow the run ends that much earlier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from pgolf.train.trainer import Hook, Trainer

RECENT_STEPS = 10


class Wallclock(Hook):
    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self._last = 0.0

    def after_step(self, trainer: Trainer) -> None:
        if trainer.plan.steps is not None:
            return  # a fixed number of steps is taken whatever the clock says, so that it repeats to the bit
        elapsed = trainer.replicas.first(trainer.clock.elapsed)
        self._recent.append(elapsed - self._last)
        self._last = elapsed
        if elapsed + max(self._recent) > trainer.plan.seconds:
            trainer.stop("wallclock")

    def state(self) -> dict[str, Any]:
        return {"recent": list(self._recent), "last": self._last}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._recent = deque(state["recent"], maxlen=RECENT_STEPS)
        self._last = state["last"]
