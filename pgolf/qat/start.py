"""The hook that turns a method on at its start, and reports it when it comes; see ``pgolf.train.start``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pgolf.train.phases import Phase
from pgolf.train.start import Start
from pgolf.train.trainer import Hook, Trainer


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
