"""Repeat the run's last batches once more, in their order, at a low learning rate, before it ends.

The batches of the last ``keep`` steps whose learning rate's scale was below ``below_lr_scale`` are gone through
``epochs`` times, one update each, at ``rate`` times the base learning rate, clipped and averaged as every update. A
step's batch stays whole however it is cut, so that accumulation does what as many processes would. Its time is
``reserve`` of the run, taken off before: of the seconds, or, where the steps are fixed, of these. What that does not
hold is left out, the end of the last epoch first.
Source: #687 (23 March: 100 batches, of one micro-batch on each of its GPUs, 2 epochs, rate 0.1, on a clock that had
stopped; it reports no gain, 1.1223, 1.1233, 1.1233 against 1.1225, 1.1228, 1.1227); spec optimizer §6.
Cost in bytes: none; in memory the tokens it keeps. Cost in step time: none; ``reserve`` of the run, whether the burst
uses it or not.
Hurts: that time would have read new text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from pgolf.core.ranges import PositiveFloat, PositiveFraction, PositiveInt
from pgolf.train.phases import Phase
from pgolf.train.start import Start
from pgolf.train.trainer import Batch, Hook, Schedules, Trainer


class Burst(Hook):
    by_rank = True

    def __init__(
        self,
        *,
        keep: PositiveInt,
        below_lr_scale: PositiveFraction,
        epochs: PositiveInt,
        rate: PositiveFloat,
        reserve: PositiveFraction,
    ) -> None:
        self.below_lr_scale, self.epochs, self.rate, self.reserve = below_lr_scale, epochs, rate, reserve
        self.kept: deque[tuple[Batch, ...]] = deque(maxlen=keep)

    def prepare(self, schedule: Schedules) -> None:
        self._start = Start(None, self.below_lr_scale, schedule, "hook.burst", "below_lr_scale")

    def phases(self) -> list[Phase]:
        what = f"burst: the last {self.kept.maxlen:,} batches {self.epochs} times at {self.rate:g} of the rate"
        keeps = Phase(self._start.from_ or 0.0, 1.0, "batches kept for the burst", switch=self._start.from_ is not None)
        return [keeps, Phase(1.0, 1.0, f"{what}, in {100 * self.reserve:g} % of the budget")]

    def after_step(self, trainer: Trainer) -> None:
        if trainer.lr_scale < self.below_lr_scale:
            self.kept.append(tuple(trainer.batches))

    def after_steps(self, trainer: Trainer) -> None:
        planned, done, longest, last = self.epochs * len(self.kept), 0, 0.0, _elapsed(trainer)
        most = planned if trainer.plan.steps is None else min(planned, int(trainer.plan.after))
        limit = trainer.plan.seconds + trainer.plan.after if trainer.plan.steps is None else float("inf")
        trainer.lr_scale = self.rate
        for batches in [*self.kept] * self.epochs:
            if done == most or last + longest > limit:
                break
            trainer.update(self.rate, 1.0, batches)
            for hook in trainer.hooks:
                if hook.of_update:
                    hook.after_step(trainer)
            done += 1
            now = _elapsed(trainer)
            longest, last = max(longest, now - last), now
        cut = "" if done == planned else f" of {planned:,}; hook.burst.reserve holds no more"
        text = f"{done:,} updates on repeated batches{cut}" if planned else "no batch was kept, nothing is repeated"
        trainer.tell("burst", text, done=done, planned=planned)

    def state(self) -> dict[str, Any]:
        return {"kept": list(self.kept)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.kept = deque(state["kept"], maxlen=self.kept.maxlen)


def _elapsed(trainer: Trainer) -> float:
    return trainer.replicas.first(trainer.clock.elapsed)
