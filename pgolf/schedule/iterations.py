"""A warmdown counted in steps, as published: constant, then a linear fall over the last D steps.

Formula: of N steps, ``scale(t) = (N−t)/D`` once that is below 1. By the clock, with C seconds of which e are over after
    t steps, D steps are taken for ``w = D·e/max(t, 1)`` seconds and ``r = max(C−e, 0)`` are left:
    ``scale = r/w if r <= w, else 1``. Estimated anew before every step, it ends at 0 whatever the speed; at constant
    speed it is the first rule with N = C/s. Never below ``floor``.
Source: the baseline and the records that follow it (D = 1,200 to 3,500; #687: 20,000, always falling); spec
    optimizer §4. A D beyond all steps begins below 1, but by the clock the first step, for which no second is over, has
    the whole rate: published so, and kept.
Cost in bytes: none. Cost in step time: none.
Hurts: by the clock nobody knows before the run at which step it begins. With steps of its own (``total_steps``) it may
    never begin (9,999 of 2,100 steps, #1681): refused before training.
"""

from __future__ import annotations

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction, PositiveInt
from pgolf.schedule.base import Schedule
from pgolf.train.moment import Moment, RunLength
from pgolf.train.phases import Phase


class Iterations(Schedule):
    """``total_steps``: N where the run takes fewer steps than the rule is made for; null: those of the run."""

    def __init__(
        self, *, length: RunLength, warmdown_steps: PositiveInt, floor: Fraction, total_steps: PositiveInt | None
    ) -> None:
        super().__init__(length)
        self.warmdown_steps, self.floor, self.total_steps = warmdown_steps, floor, total_steps
        if total_steps is not None:
            self._check(total_steps)

    def _check(self, total_steps: int) -> None:
        steps = self.length.steps
        if steps is None:
            raise ConfigError(
                f"schedule.total_steps: {total_steps}, and nobody knows how many steps the clock will allow; "
                "null ends with the run, budget.train_steps fixes the steps"
            )
        if total_steps < steps:
            raise ConfigError(
                f"schedule.total_steps: {total_steps} steps end before the run's {steps} (budget.train_steps)"
            )
        if total_steps - self.warmdown_steps >= steps:
            raise ConfigError(
                f"schedule.warmdown_steps: {self.warmdown_steps} of {total_steps} steps never begin in a run of "
                f"{steps} (budget.train_steps)"
            )

    def scale(self, moment: Moment) -> float:
        if self.length.steps is not None:
            left = (self.total_steps or self.length.steps) - moment.step
            return max(self.floor, min(1.0, left / self.warmdown_steps))
        window = self.warmdown_steps * moment.elapsed_seconds / max(moment.step, 1)
        left = max(self.length.seconds - moment.elapsed_seconds, 0.0)
        return max(self.floor, left / window if left <= window else 1.0)

    def foreseen(self, progress: float) -> float | None:
        if progress >= 1 and self.length.steps is None:
            return self.floor  # whatever the speed
        return super().foreseen(progress)

    def phases(self) -> list[Phase]:
        falls = f"learning rate falls to {self.foreseen(1.0):g}"
        begin = self._begin()
        if begin is None:
            return [Phase(0.0, 1.0, f"{falls}, over as many seconds as the last {self.warmdown_steps:,} steps take")]
        constant = [Phase(0.0, begin, "learning rate constant")] if begin > 0 else []
        return [*constant, Phase(begin, 1.0, f"{falls} over {self.warmdown_steps:,} steps")]

    def _begin(self) -> float | None:
        """The fraction of the run at which the fall begins; None where it is not known."""
        end = self.length.at(1.0)
        if end is None:
            return None
        total = self.total_steps or end.step
        return max(0.0, (total - self.warmdown_steps) / end.step)
