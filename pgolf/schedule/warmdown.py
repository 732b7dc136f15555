"""Constant learning rate, then a linear fall to a floor over the last part of the run.

``scale(f) = 1 for f < 1−d, else max((1−f)/d, floor)`` with f the fraction of the run: wall-clock seconds
over the budget's, or steps over a fixed number of steps.
Source: #1394, #1855 (d = 0.667 to 0.85, floor 0 or 0.1); spec optimizer §4.
Cost in bytes: none. Cost in step time: none.
Hurts: as a number of steps (``iterations``) it may never begin (9,999 of 2,100 steps, #1681); a fraction always does.
"""

from __future__ import annotations

from pgolf.core.ranges import Fraction
from pgolf.schedule.base import Schedule
from pgolf.train.moment import Moment, RunLength
from pgolf.train.phases import Phase


class Warmdown(Schedule):
    """``schedule=warmdown``."""

    def __init__(self, *, length: RunLength, fraction: Fraction, floor: Fraction) -> None:
        super().__init__(length)
        self.fraction, self.floor = fraction, floor

    def scale(self, moment: Moment) -> float:
        return self._at(moment.progress)

    def foreseen(self, progress: float) -> float | None:
        return self._at(progress)

    def _at(self, progress: float) -> float:
        if progress < 1 - self.fraction or self.fraction == 0:
            return 1.0
        return max((1 - progress) / self.fraction, self.floor)

    def phases(self) -> list[Phase]:
        start = 1 - self.fraction
        constant = [Phase(0.0, start, "learning rate constant")] if start > 0 else []
        return [*constant, Phase(start, 1.0, f"learning rate falls to {self.floor:g}")]
