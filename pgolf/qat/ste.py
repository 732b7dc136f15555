"""Straight-through training on the export grid: the forward pass uses the weights the artifact would hold.

Formula: forward Ŵ = q·s with the run's own quantizer (its bits for each tensor, its scales of this step's
    weights), backward dL/dw = dL/dŴ where the code is not clipped, 0 beyond the clip.
Source: #374, #414, #687 (late, at a learning-rate scale below 0.10 to 0.15; below 0.5 for int5, #469), the
    10-layer int6 record (from the start); spec quant §6.
Cost in bytes: none in the artifact, 1.9 kB of code.
Cost in step time: none before the start; after it the rounding of every matrix. On one core, for the laptop's
    1.5 M weights: 15 ms with row maxima, 21 with the baseline's percentile, 25 with deviations, 70 with the
    best of five percentiles, where a step takes 590 (5.6 % at int5_rtn); published 4 to 28 %.
When it hurts: with averaging over many steps, which leaves the grid again (#989). Beside GPTQ it added
    nothing (#1218): the step sizes agree, but the codes follow GPTQ's error feedback. With another grid than
    the export's it is noise of the wrong size (#687, damage 0.018); #687's own is qat=ste_quantile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgolf.qat.base import Prepared, QATMethod
from pgolf.qat.grid_plan import grid_plan
from pgolf.qat.replaced import ReplacedLoss
from pgolf.qat.start import Switch
from pgolf.train.start import Start, StartFraction, StartScale

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules


class STE(QATMethod):
    """``qat=ste``; exactly one of ``start`` (a fraction of the run) and ``start_lr_scale`` is a number."""

    def __init__(self, *, start: StartFraction, start_lr_scale: StartScale) -> None:
        self.start, self.start_lr_scale = start, start_lr_scale

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError where training cannot know the grid, and for a start that never comes."""
        start = Start(self.start, self.start_lr_scale, schedule)
        grids = grid_plan(quantizer, model, "ste")
        loss = ReplacedLoss(model, {name: grid.round for name, grid in grids.items()})
        what = f"ste: {len(grids)} tensors rounded to the export grid in every forward pass"
        return Prepared(loss, hooks=(Switch(start, what, loss.turn_on),))
