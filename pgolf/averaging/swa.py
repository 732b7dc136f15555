"""Stochastic weight averaging: the plain mean of snapshots from the run's end, exported instead of the last step's.

``Σ_k w_k / K`` over K snapshots, one after every ``every_steps`` steps, or every ``every`` of the run, from the first
step whose learning rate's scale is below ``start_lr_scale`` on ("tight" at 0.2), or from the fraction ``start``. The
sum is fp32 on the training device.
Source: #162 (last half of the run, about 30 snapshots), #374, #414 (tight); in #549 and #1204 the sum is collected
and never used; spec optimizer §5.
Cost in bytes: none in the artifact; one fp32 copy of the weights in memory. Cost in step time: one pass over the
weights at every snapshot.
Hurts: beside training for the grid, from which means depart (#989: both 1.14468, either alone less); a start that is
too early averages weights that are still far apart (EMA and tight snapshots 1.1386, snapshots from 0.4 on 1.1428).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pgolf.averaging.base import Averaging
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction, PositiveInt
from pgolf.train.moment import RunLength
from pgolf.train.phases import Phase
from pgolf.train.start import Start, StartFraction, StartScale
from pgolf.train.trainer import Schedules, Trainer


class SWA(Averaging):
    """Exactly one of ``every`` and ``every_steps``, and one of ``start`` and ``start_lr_scale``, is a number."""

    def __init__(
        self,
        *,
        every: Fraction | None,
        every_steps: PositiveInt | None,
        start: StartFraction,
        start_lr_scale: StartScale,
    ) -> None:
        if (every is None) == (every_steps is None) or every == 0:
            raise ConfigError(
                f"averaging.every, averaging.every_steps: {every} and {every_steps}; exactly one of them is a number "
                "above 0, the other null"
            )
        self.every, self.every_steps, self._when = every, every_steps, (start, start_lr_scale)
        self.sum: dict[str, torch.Tensor] = {}
        self.count = 0
        self._on, self._passed = False, 0

    def prepare(self, schedule: Schedules) -> None:
        self._start = Start(*self._when, schedule, "averaging")
        begins = self._start.from_ or 0.0
        if self.every is not None and _marks(1.0, self.every) == _marks(begins, self.every):
            raise ConfigError(
                f"averaging.every: {self.every:g} of the run never passes after its {100 * begins:.0f} %; "
                "there would be no snapshot"
            )
        steps = schedule.length.steps
        if steps is not None and not any(self._takes(schedule.length, step) for step in range(steps, 0, -1)):
            raise ConfigError(f"averaging: of {steps:,} steps none leaves a snapshot; {self.phases()[0].description}")

    def _takes(self, length: RunLength, step: int) -> bool:
        """Whether this step of a fixed number of them leaves a snapshot."""
        assert length.steps is not None
        before = length.at((step - 1) / length.steps)
        assert before is not None
        return self._start.due(before) and self._passes(step, step / length.steps) > self._passes(
            step - 1, before.progress
        )

    def _passes(self, step: int, progress: float) -> int:
        """How often a snapshot is due in this many steps."""
        return _marks(progress, self.every) if self.every_steps is None else step // self.every_steps

    @property
    def exported(self) -> str:  # type: ignore[override]
        return f"mean of {self.count:,} snapshots" if self.count else "the last step's weights, for lack of snapshots"

    def phases(self) -> list[Phase]:
        often = f"{self.every_steps:,} steps" if self.every is None else f"{100 * self.every:g} % of the run"
        when = "" if self._start.from_ is not None else f", {self._start}"
        return [
            Phase(
                self._start.from_ or 0.0,
                1.0,
                f"a snapshot of the weights every {often}, for their mean{when}",
                switch=self._start.from_ is not None,
            )
        ]

    def at_start(self, trainer: Trainer) -> None:
        self.sum = {n: torch.zeros_like(v, dtype=torch.float32) for n, v in trainer.model.state_dict().items()}
        trainer.average = lambda: self.mean() or trainer.model.state_dict()
        self._on = self._start.due(trainer.moment)

    def mean(self) -> dict[str, torch.Tensor]:
        """The weights' mean by name; empty before the first snapshot."""
        return {name: value / self.count for name, value in self.sum.items()} if self.count else {}

    @torch.no_grad()
    def after_step(self, trainer: Trainer) -> None:
        moment = trainer.moment
        passed = self._passes(trainer.step, moment.progress)
        if self._on and passed > self._passed:
            live = trainer.model.state_dict()
            torch._foreach_add_(list(self.sum.values()), [live[name].float() for name in self.sum])
            self.count += 1
        self._passed = passed
        self._on = self._start.due(moment)  # whether the step that begins now leaves weights to average

    @torch.no_grad()
    def after_switch(self, trainer: Trainer, copied: Mapping[str, str]) -> None:
        """Weights that start as copies have the snapshots of their originals."""
        for name, original in copied.items():
            self.sum[name].copy_(self.sum[original])

    def state(self) -> dict[str, Any]:
        return {"sum": self.sum, "count": self.count, "on": self._on, "passed": self._passed}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        for name, value in state["sum"].items():
            self.sum[name].copy_(value)
        self.count, self._on, self._passed = state["count"], state["on"], state["passed"]


def _marks(progress: float, every: float | None) -> int:
    """How many multiples of ``every`` lie below or at ``progress``; rounding of their quotient takes none away."""
    assert every is not None
    return int(progress / every + 1e-9)
