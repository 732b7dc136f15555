"""Learned gates, lanes, skip weights and gains as curves over the steps.

Every ``every`` steps each number that ``pgolf.arch.learned`` finds, named ``learned/PLACE/LABEL``; ``pgolf learned
RUN`` prints the same of a finished run.
Source: the routing table of #1204 (spec records §6 F).
Cost in bytes: none. Cost in step time: a mean of each control vector at each such step, well under 1 % of it.
Hurts: nothing, it only reads.
"""

from __future__ import annotations

from typing import Any

from pgolf.arch.learned import learned
from pgolf.core.ranges import PositiveInt
from pgolf.train.trainer import Hook, Trainer


class ControlCurves(Hook):
    def __init__(self, *, every: PositiveInt) -> None:
        self.every = every

    def after_step(self, trainer: Trainer) -> None:
        if trainer.step % self.every == 0:
            width = trainer.model.output_table.size(1)
            rows = learned(trainer.model, width)  # type: ignore[arg-type]
            facts: dict[str, Any] = {f"learned/{row.name}": row.value for row in rows}
            trainer.tell("controls", series=True, **facts)
