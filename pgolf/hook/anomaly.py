"""Report by name what is odd in training: a loss that jumps, and parameters that never get a gradient.

A loss is a spike where it exceeds the mean of the last ``recent`` losses by more than ``deviations`` of their standard
deviations and by more than ``least_nats``; one is told in ``recent`` steps. A parameter is dead that has had no
gradient but zero in ``steps`` steps since the last of the model's routes became active, or in the whole run where that
is shorter. Where gradients are no numbers, the first parameter, in the model's order, that has such a one is named; the
run ends at the next step, as its loss is no number then.
Source: "dead settings" that ran unnoticed in public records (spec records §7).
Cost in bytes: none. Cost in step time: a norm of the gradients, well under 1 %; of those that are no numbers, the
sharding by banks leaves none to tell apart.
Hurts: nothing, it only reads; a word with two meanings can look like a spike, hence both thresholds.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch

from pgolf.core.ranges import PositiveFloat, PositiveInt
from pgolf.train.trainer import Hook, Trainer

MOST_NAMES = 5  # in one line


class Anomaly(Hook):
    """Tells ``anomaly``: of ``kind`` spike with ``loss`` and ``mean``, dead or no_number with ``names``."""

    def __init__(
        self, *, recent: PositiveInt, deviations: PositiveFloat, least_nats: PositiveFloat, steps: PositiveInt
    ) -> None:
        self.recent, self.deviations, self.least_nats, self.steps = recent, deviations, least_nats, steps
        self._losses: deque[float] = deque(maxlen=recent)
        self._quiet_until = 0
        self._since = 0  # the step from which steps without a gradient count
        self._silent: list[str] | None = None  # parameters without a gradient so far; None: nobody has looked yet
        self._told = False

    def after_step(self, trainer: Trainer) -> None:
        self._look_at_loss(trainer)
        self._look_for_numbers(trainer)
        if not self._told:
            self._look_at_gradients(trainer)

    def _look_at_loss(self, trainer: Trainer) -> None:
        loss = trainer.loss_nats
        if len(self._losses) == self.recent and trainer.step >= self._quiet_until:
            mean, deviation = statistics.fmean(self._losses), statistics.pstdev(self._losses)
            if loss - mean > max(self.deviations * deviation, self.least_nats):
                text = (
                    f"loss spike at step {trainer.step:,}: {loss:.4g} nats, the {self.recent} before it had "
                    f"{mean:.4g} ± {deviation:.2g}"
                )
                trainer.tell("anomaly", text, kind="spike", loss=loss, mean=mean)
                self._quiet_until = trainer.step + self.recent
        self._losses.append(loss)

    def _look_for_numbers(self, trainer: Trainer) -> None:
        found = {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}
        if not torch.nn.utils.get_total_norm(list(found.values())).isfinite():
            broken = [name for name, gradient in found.items() if not gradient.isfinite().all()]
            named = broken[0] if broken else "no single parameter, but their norm"
            text = f"gradient is no number at step {trainer.step:,}: {named}"
            trainer.tell("anomaly", text, kind="no_number", names=tuple(broken))

    def _look_at_gradients(self, trainer: Trainer) -> None:
        parameters = dict(trainer.model.named_parameters())
        names = list(parameters) if self._silent is None else self._silent
        self._silent = [name for name in names if not _moves(parameters[name])]
        every_route = trainer.model.active == list(trainer.model.routes)[-1]
        if not self._silent or (every_route and trainer.step - self._since >= self.steps):
            self._tell_dead(trainer)

    def _tell_dead(self, trainer: Trainer) -> None:
        self._told = True
        if self._silent:
            more = len(self._silent) - MOST_NAMES
            named = ", ".join(self._silent[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
            text = f"no gradient but zero in {trainer.step - self._since:,} steps: {named}"
            trainer.tell("anomaly", text, kind="dead", names=tuple(self._silent))

    def after_switch(self, trainer: Trainer, copied: Mapping[str, str]) -> None:
        self._since = trainer.step

    def at_end(self, trainer: Trainer) -> None:
        if not self._told and trainer.step:
            self._tell_dead(trainer)

    def state(self) -> dict[str, Any]:
        return {
            "losses": list(self._losses),
            "quiet_until": self._quiet_until,
            "since": self._since,
            "silent": self._silent,
            "told": self._told,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._losses = deque(state["losses"], maxlen=self.recent)
        self._quiet_until, self._since = state["quiet_until"], state["since"]
        self._silent, self._told = state["silent"], state["told"]


def _moves(parameter: Any) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())
