"""Straight-through training on a grid of its own: row scales from a quantile, one code more below zero.

Formula: forward Ŵ = s·clamp(round(w/s), −q−1, q) with s = max(quantile(|w_row|, p)/q, floor) in float32, p = 0.9995
    and the floor 1/q; backward dL/dw = dL/dŴ everywhere, also for weights that are clipped. q is the last code of
    the run's own bits for the tensor (15 at int5); the matrices of linear layers, not the embedding.
Source: #687 and #860 train so and export otherwise, on {−q … q} (spec quant §6); #687 begins below a learning-rate
    scale of 0.10. qat=ste is the same on the export's grid.
Cost in bytes: none in the artifact, 2.0 kB of code. Cost in step time: none before the start; then 5 ms on
    one core for the laptop's matrices, where qat=ste takes 13 for its matrices and embedding.
When it hurts: the grid is not the one exported to. At 512 columns p clips the largest weight of a row alone, and
    under the published floor every row below 1 has the same step, 1/15 at int5, so that there p says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.qat.base import Prepared, QATMethod
from pgolf.qat.grid_plan import grid_bits, linear_layers
from pgolf.qat.replaced import ReplacedLoss
from pgolf.qat.start import Switch
from pgolf.quant.grid import SMALLEST_NORMAL_FP16, ScaleFloor, as_rows, qmax, row_clip
from pgolf.train.start import Start, StartFraction, StartScale

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules

Quantile = Annotated[float, Between(0, 1, open_low=True)]


class STEQuantile(QATMethod):
    """``qat=ste_quantile``; exactly one of ``start`` (a fraction of the run) and ``start_lr_scale`` is a number."""

    def __init__(
        self, *, start: StartFraction, start_lr_scale: StartScale, quantile: Quantile, floor: ScaleFloor
    ) -> None:
        self.start, self.start_lr_scale = start, start_lr_scale
        self.quantile = quantile
        self.floor: ScaleFloor = floor

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError where training cannot know the bits, and for a start that never comes."""
        start = Start(self.start, self.start_lr_scale, schedule)
        bits = grid_bits(quantizer, model, "ste_quantile")
        grids = {name: QuantileGrid(bits[name], self.quantile, self.floor) for name in linear_layers(bits, model)}
        loss = ReplacedLoss(model, {name: grid.round for name, grid in grids.items()})
        what = (
            f"ste_quantile: {len(grids)} tensors rounded in every forward pass, rows clipped at their "
            f"{self.quantile:g} quantile"
        )
        return Prepared(loss, hooks=(Switch(start, what, loss.turn_on),))


@dataclass(frozen=True, slots=True)
class QuantileGrid:
    """The integer grid {−q−1 … q} whose q lies at a quantile of each row's magnitudes."""

    bits: int
    quantile: float
    floor: ScaleFloor

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The rounded weight (float32, in its shape), and where a straight-through gradient passes: everywhere."""
        w_RC, top = as_rows(weight), qmax(self.bits)
        lowest = 1 / top if self.floor == "legacy" else SMALLEST_NORMAL_FP16
        scale_R1 = (row_clip(w_RC, self.quantile) / top).clamp_min(lowest)[:, None]
        value_RC = (w_RC / scale_R1).round_().clamp_(-top - 1, top) * scale_R1
        return value_RC.reshape(weight.shape), torch.ones_like(weight, dtype=torch.bool)
