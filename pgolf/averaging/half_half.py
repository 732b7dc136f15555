"""Half exponential moving average, half mean of snapshots.

``½·e + ½·(Σ_k w_k / K)`` with e of ``ema`` and the mean of ``swa``, both in fp32; before the first snapshot e alone.
Source: #187's export (14 snapshots), #693; spec optimizer §5.
Cost in bytes: none in the artifact; two fp32 copies of the weights in memory. Cost in step time: those of both.
Hurts: it was 0.32 thousandths of a bit per byte worse than the moving average alone on #1855 (#2049).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pgolf.averaging.base import Averaging
from pgolf.averaging.ema import EMA
from pgolf.averaging.swa import SWA
from pgolf.core.ranges import Fraction, PositiveInt
from pgolf.train.phases import Phase
from pgolf.train.start import StartFraction, StartScale
from pgolf.train.trainer import Schedules, Trainer


class HalfHalf(Averaging):
    """``decay`` as for ``ema``, the others as for ``swa``."""

    def __init__(
        self,
        *,
        decay: Fraction,
        every: Fraction | None,
        every_steps: PositiveInt | None,
        start: StartFraction,
        start_lr_scale: StartScale,
    ) -> None:
        self.ema = EMA(decay=decay)
        self.swa = SWA(every=every, every_steps=every_steps, start=start, start_lr_scale=start_lr_scale)

    def prepare(self, schedule: Schedules) -> None:
        self.swa.prepare(schedule)

    @property
    def exported(self) -> str:  # type: ignore[override]
        if not self.swa.count:
            return f"{self.ema.exported} alone, for lack of snapshots"
        return f"half {self.ema.exported}, half {self.swa.exported}"

    def phases(self) -> list[Phase]:
        return [*self.ema.phases(), *self.swa.phases()]

    def at_start(self, trainer: Trainer) -> None:
        self.ema.at_start(trainer)
        self.swa.at_start(trainer)
        trainer.average = self.mean

    def mean(self) -> Mapping[str, torch.Tensor]:
        mean = self.swa.mean()
        return {n: torch.lerp(e, mean[n], 0.5) for n, e in self.ema.shadow.items()} if mean else self.ema.shadow

    def after_step(self, trainer: Trainer) -> None:
        self.ema.after_step(trainer)
        self.swa.after_step(trainer)

    def after_switch(self, trainer: Trainer, copied: Mapping[str, str]) -> None:
        self.ema.after_switch(trainer, copied)
        self.swa.after_switch(trainer, copied)

    def state(self) -> dict[str, Any]:
        return {"ema": self.ema.state(), "swa": self.swa.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.ema.restore(state["ema"])
        self.swa.restore(state["swa"])
