"""Constant learning rate, then a linear fall to a floor over the last part of the run.

``scale(f) = 1 for f < 1−d, else max((1−f)/d, floor)`` with f the fraction of the run: wall-clock seconds
over the budget's, or steps over a fixed number of steps. Source: spec optimizer §4 (#1394's fraction form).
"""

from __future__ import annotations

from pgolf.core.ranges import Fraction
from pgolf.train.phases import Phase


class Warmdown:
    def __init__(self, *, fraction: Fraction, floor: Fraction) -> None:
        self.fraction, self.floor = fraction, floor

    def scale(self, progress: float) -> float:
        """The factor on every learning rate at this fraction of the run."""
        if progress < 1 - self.fraction or self.fraction == 0:
            return 1.0
        return max((1 - progress) / self.fraction, self.floor)

    def phases(self) -> list[Phase]:
        start = 1 - self.fraction
        constant = [Phase(0.0, start, "learning rate constant")] if start > 0 else []
        return [*constant, Phase(start, 1.0, f"learning rate falls to {self.floor:g}")]
