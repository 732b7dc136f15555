"""Recurrence switched on in mid-training: the hook that activates a model's routes when their time comes.

After the step at which the run reaches an activation's fraction or step, and before the next one, the model's
route changes; MLPs that repeated visits own start as copies at this moment (spec arch §7, §8.3). The hook
stands behind the averaging hooks, so that the step's average is taken before the switch.
Cost: no bytes, no time; ``pgolf.train.warmup`` compiles the graphs of all routes before the clock starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgolf.core.protocols import RouteSwitch
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Trainer


class Activate(Hook):
    """Tells ``switch`` with ``what`` recurrence and ``state`` activated or not_activated.

    ``run_steps`` is the run's fixed number of steps, None where seconds end it.
    """

    def __init__(self, activations: Sequence[RouteSwitch], routes: Mapping[str, object], run_steps: int | None) -> None:
        self.activations, self.routes, self.run_steps = tuple(activations), dict(routes), run_steps
        self._waiting = list(self.activations)

    def phases(self) -> list[Phase]:
        """From when on each route holds; a step's fraction is known only where the number of steps is fixed."""
        found = []
        for activation in self.activations:
            start, what = activation.start, f"recurrence: layers {self.routes[activation.route]}"
            if activation.steps:
                fraction = start / self.run_steps if self.run_steps else 0.0
                found.append(Phase(min(1.0, fraction), 1.0, what, at_step=int(start), switch=True))
            else:
                found.append(Phase(start, 1.0, what, switch=True))
        return found

    def after_step(self, trainer: Trainer) -> None:
        if not self._waiting or trainer.stopped_by is not None:
            return
        while self._waiting and self._waiting[0].due(trainer.step, trainer.progress):
            activation = self._waiting.pop(0)
            copied = trainer.model.activate(activation.route)
            for hook in trainer.hooks:
                hook.after_switch(trainer, copied)
            self._tell(trainer, activation, "activated", f"active after {trainer.step:,} steps")

    def at_end(self, trainer: Trainer) -> None:
        for activation in self._waiting:
            text = f"never active: it starts at {activation}, the run ended after {trainer.step:,} steps"
            self._tell(trainer, activation, "not_activated", text)

    def state(self) -> dict[str, Any]:
        return {"waiting": len(self._waiting)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The model's own state says which route is active; here only what is still to come is told."""
        self._waiting = list(self.activations[len(self.activations) - state["waiting"] :])

    @staticmethod
    def _tell(trainer: Trainer, activation: RouteSwitch, state: str, text: str) -> None:
        name = activation.route
        trainer.tell("switch", f"recurrence: route {name} {text}", what="recurrence", state=state, route=name)
