"""When a method begins: a moment of the run, printed before it and reported when it comes.

Between two steps a hook asks for the learning rate's scale of the step to come, so that the first step with a
scale below the threshold is the first with the method. Where the schedule goes by steps and the run by the clock
nobody knows before the run when that will be; it is found on the way. Cost: nothing but that question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, Fraction
from pgolf.train.moment import Moment
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Schedules, Trainer

StartFraction = Fraction | None
StartScale = Annotated[float, Between(0, 1, open_low=True)] | None

LOOK_AT = 1000  # places of the schedule at which its highest one is sought


class Start:
    """From ``fraction`` of the run on, or as soon as the learning rate's scale has fallen below ``lr_scale``.

    Raises ConfigError where that never is.
    """

    def __init__(self, fraction: float | None, lr_scale: float | None, schedule: Schedules) -> None:
        if (fraction is None) == (lr_scale is None):
            raise ConfigError(
                f"qat.start, qat.start_lr_scale: {fraction} and {lr_scale}; exactly one of them is a number, "
                "the other null"
            )
        self.fraction, self.lr_scale, self.schedule = fraction, lr_scale, schedule
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
                raise ConfigError(f"qat.start: {self.fraction:g} is the run's end; nothing would begin. 0 is its start")
            return self.fraction
        assert self.lr_scale is not None
        last = self.schedule.foreseen(1.0)
        if last is not None and last >= self.lr_scale:
            raise ConfigError(f"qat.start_lr_scale: {self.lr_scale:g} is never passed; the schedule ends at {last:g}")
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
                f"qat.start: {self.fraction:g}, and what follows the learning rate must know its scale there; this "
                "schedule tells it only while the run goes by the clock. qat.start_lr_scale names it"
            )
        return scale

    def __str__(self) -> str:
        if self.lr_scale is not None:
            return f"when the learning rate's scale is below {self.lr_scale:g}"
        return f"from {100 * (self.fraction or 0.0):g} % of the run on"


class Switch(Hook):
    """Turns a method on at its start; ``follow`` hears the rate's scale of every step from then on.

    Tells ``switch`` with ``what`` qat, or late_qat where steps went before, and ``state`` enabled or not_enabled.
    """

    def __init__(
        self,
        start: Start,
        what: str,
        turn_on: Callable[[], None],
        follow: Callable[[float], None] = lambda lr_scale: None,
    ) -> None:
        self.start, self.what, self.on = start, what, False
        self._turn_on, self._follow = turn_on, follow
        self._followed: float | None = None

    def phases(self) -> list[Phase]:
        from_ = self.start.from_
        if from_ is None:
            return [Phase(0.0, 1.0, f"{self.start}: {self.what}")]
        return [Phase(from_, 1.0, self.what, switch=True)]

    def at_start(self, trainer: Trainer) -> None:
        self._look(trainer)

    def after_step(self, trainer: Trainer) -> None:
        if trainer.stopped_by is None:
            self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        moment = trainer.moment
        lr_scale = trainer.schedule.scale(moment)
        if not self.on and self.start.due(moment):
            self.on = True
            self._turn_on()
            self._tell(trainer, "enabled", lr_scale, f"on after {trainer.step:,} steps")
        if self.on:
            self._follow(lr_scale)
            self._followed = lr_scale

    def at_end(self, trainer: Trainer) -> None:
        if not self.on:
            text = f"never on: the run ended after {trainer.step:,} steps"
            self._tell(trainer, "not_enabled", trainer.lr_scale, text)

    def state(self) -> dict[str, Any]:
        return {"on": self.on, "followed": self._followed}

    def restore(self, state: Mapping[str, Any]) -> None:
        assert state["on"] or not self.on, "what has been turned on is not turned off again"
        if state["on"] and not self.on:
            self._turn_on()
        self.on, self._followed = state["on"], state["followed"]
        if self._followed is not None:
            self._follow(self._followed)

    @staticmethod
    def _tell(trainer: Trainer, state: str, lr_scale: float, text: str) -> None:
        what = "late_qat" if trainer.step else "qat"
        trainer.tell(
            "switch",
            f"{what}: {text}, learning rate times {lr_scale:.3g}",
            what=what,
            state=state,
            scale=lr_scale,
        )
