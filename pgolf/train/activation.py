"""Recurrence switched on in mid-training: the hook that activates a model's routes when their time comes.

After the step at which the run reaches an activation's fraction or step, and before the next one, the model's
route changes; MLPs that repeated visits own start as copies at this moment (spec arch §7, §8.3). The hook
stands behind the averaging hooks, so that the step's average is taken before the switch.
Cost: no bytes, no time; ``pgolf.train.warmup`` compiles the graphs of all routes before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pgolf.core.protocols import RouteSwitch
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Trainer

Event = Literal["activated", "not_activated"]
ReportSwitch = Callable[[Event, int, RouteSwitch], None]


class Activate(Hook):
    """``run_steps`` is the run's fixed number of steps, None where seconds end it."""

    def __init__(
        self, activations: Sequence[RouteSwitch], routes: Mapping[str, object], run_steps: int | None
    ) -> None:
        self.activations, self.routes, self.run_steps = tuple(activations), dict(routes), run_steps
        self.report: ReportSwitch = lambda event, step, activation: None
        self._waiting = list(self.activations)

    def connect(self, report: ReportSwitch) -> None:
        """Where to report: ``report(event, step, activation)``, ``step`` steps having been taken."""
        self.report = report

    def phases(self) -> list[Phase]:
        """From when on each route holds; a step's fraction is known only where the number of steps is fixed."""
        found = []
        for activation in self.activations:
            start, what = activation.start, f"recurrence: layers {self.routes[activation.route]}"
            if activation.steps:
                if self.run_steps is None:
                    start, what = 0.0, f"from {activation} on, {what}"
                elif start >= self.run_steps:
                    start, what = 1.0, f"never, the run ends before {activation}: {what}"
                else:
                    start /= self.run_steps
            found.append(Phase(start, 1.0, what))
        return found

    def after_step(self, trainer: Trainer) -> None:
        if not self._waiting or trainer.stopped_by is not None:
            return
        while self._waiting and self._waiting[0].due(trainer.step, trainer.progress):
            activation = self._waiting.pop(0)
            copied = trainer.model.activate(activation.route)
            for hook in trainer.hooks:
                hook.after_switch(trainer, copied)
            self.report("activated", trainer.step, activation)

    def at_end(self, trainer: Trainer) -> None:
        for activation in self._waiting:
            self.report("not_activated", trainer.step, activation)
