"""How far a run is, and how long it will be: what schedules go by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Between two steps: ``progress`` is the fraction of the run done, ``step`` the steps taken (no whole number where
    the moment is foreseen), ``elapsed_seconds`` those of training."""

    progress: float
    step: float
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class RunLength:
    """A run ends after ``seconds`` of training, or after ``steps`` where they are fixed.

    ``step_seconds``: what a step takes, where somebody has measured it.
    """

    seconds: float
    steps: int | None
    step_seconds: float | None = None

    def at(self, progress: float) -> Moment | None:
        """The moment at this fraction of a run whose steps all take as long; None where nobody knows how long."""
        if self.steps is not None:
            step = progress * self.steps
            return Moment(progress, step, step * (self.step_seconds or 0.0))
        if self.step_seconds is None:
            return None
        elapsed = progress * self.seconds
        return Moment(progress, elapsed / self.step_seconds, elapsed)
