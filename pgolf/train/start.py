"""When something begins: a fraction of the run, or how far the learning rate has fallen.

Between two steps a hook asks for the learning rate's scale of the step to come, so that the first step with a
scale below the threshold is the first of it. Where the schedule goes by steps and the run by the clock nobody knows
before the run when that will be; it is found on the way. Cost: nothing but that question.
"""

from __future__ import annotations

import math
from typing import Annotated

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, Fraction
from pgolf.train.moment import Moment
from pgolf.train.trainer import Schedules

StartFraction = Fraction | None
StartScale = Annotated[float, Between(0, 1, open_low=True)] | None

LOOK_AT = 1000  # places of the schedule at which its highest one is sought


class Start:
    """From ``fraction`` of the run on, or as soon as the learning rate's scale has fallen below ``lr_scale``.

    Raises ConfigError where that never is; ``place`` is the node whose settings these are,
    ``scale_key`` the name of the second there.
    """

    def __init__(
        self,
        fraction: float | None,
        lr_scale: float | None,
        schedule: Schedules,
        place: str = "qat",
        scale_key: str = "start_lr_scale",
    ) -> None:
        if (fraction is None) == (lr_scale is None):
            raise ConfigError(
                f"{place}.start, {place}.start_lr_scale: {fraction} and {lr_scale}; exactly one of them is a number, "
                "the other null"
            )
        self.fraction, self.lr_scale, self.schedule = fraction, lr_scale, schedule
        self.place, self.scale_key = place, scale_key
        self._peak = self._highest()
        _ = self.from_

    def _highest(self) -> float:
        """The last place of the schedule's highest scale; its start where that is not known, as of what only falls."""
        peak, highest = 0.0, -math.inf
        for place in (i / LOOK_AT for i in range(LOOK_AT + 1)):
            scale = self.schedule.foreseen(place)
            if scale is None:
                return 0.0
            if scale >= highest:
                peak, highest = place, scale
        return peak

    @property
    def from_(self) -> float | None:
        """The fraction of the run from which on the method is on; None where only the run can tell."""
        if self.fraction is not None:
            if self.fraction >= 1:
                raise ConfigError(
                    f"{self.place}.start: {self.fraction:g} is the run's end; nothing would begin. 0 is its start"
                )
            return self.fraction
        assert self.lr_scale is not None
        last = self.schedule.foreseen(1.0)
        if last is not None and last >= self.lr_scale:
            raise ConfigError(
                f"{self.place}.{self.scale_key}: {self.lr_scale:g} is never passed; the schedule ends at {last:g}"
            )
        before, after = self._peak, 1.0
        at_peak = self.schedule.foreseen(before)
        if at_peak is not None and at_peak < self.lr_scale:
            return before
        while after - before > 1e-9:
            middle = (before + after) / 2
            scale = self.schedule.foreseen(middle)
            if scale is None:
                return None
            before, after = (before, middle) if scale < self.lr_scale else (middle, after)
        return after

    def due(self, moment: Moment) -> bool:
        """Whether a step that begins at ``moment`` has the method on."""
        if self.fraction is not None:
            return moment.progress >= self.fraction
        assert self.lr_scale is not None
        return moment.progress >= self._peak and self.schedule.scale(moment) < self.lr_scale

    @property
    def reference_scale(self) -> float:
        """The learning rate's scale at the beginning. Raises ConfigError where only the run can tell."""
        if self.lr_scale is not None:
            return self.lr_scale
        assert self.fraction is not None
        scale = self.schedule.foreseen(self.fraction)
        if scale is None:
            raise ConfigError(
                f"{self.place}.start: {self.fraction:g}, and what follows the learning rate must know its scale there; "
                f"this schedule tells it only while the run goes by the clock. {self.place}.{self.scale_key} names it"
            )
        return scale

    def __str__(self) -> str:
        if self.lr_scale is not None:
            return f"when the learning rate's scale is below {self.lr_scale:g}"
        return f"from {100 * (self.fraction or 0.0):g} % of the run on"
