"""Calibrate on batches of the training text, in seconds that training gives up for it.

``H = Σ x xᵀ`` over ``batches`` batches of the training loader, in the order that the run's seed gives a fresh one:
what is drawn depends on the seed alone, not on how far training got, so a finished run can be quantized again
with the same batches.
Source: 16 batches #1855, 64 #1060 and #1394, 128 sequences #687 (spec quant §8).
Cost in bytes: none. Cost in time: ``reserve_seconds`` of the training budget, on which the schedules run shorter;
collection ends early where they are used up, except in a run of a fixed number of steps, which must repeat to the
bit. A batch costs about two forward passes.
Hurts: by the steps that the reserve is worth; the text is the model's own training text, which it knows best.
"""

from __future__ import annotations

from dataclasses import replace

from pgolf.core.protocols import Model
from pgolf.core.ranges import PositiveFloat, PositiveInt
from pgolf.quant.calibration.base import Batches, Calibration
from pgolf.quant.calibration.hessian import HessianSums


class Train:
    """``batches`` of the training loader, one accumulation step each, of windows as in training."""

    source = "train"

    def __init__(self, *, batches: PositiveInt, reserve_seconds: PositiveFloat) -> None:
        self.batches, self.reserve_seconds = batches, float(reserve_seconds)

    def check(self, model: Model) -> None:
        """Every model will do."""

    def collect(self, model: Model, batches: Batches) -> Calibration:
        """As many batches as were asked for, or as the time allows; one at least."""
        sums = HessianSums(model)
        for _ in range(self.batches):
            ids_BT = batches()
            if ids_BT is None:
                return replace(sums.result(self.source), cut_short=True)
            sums.take(ids_BT)
        return sums.result(self.source)
