"""Rounding that begins as the identity and hardens while the learning rate falls, with its own derivative.

Formula: y = w/s, r = y − ⌊y⌋ − ½, ŵ = s·(⌊y⌋ + ½ + ½·tanh(αr)/tanh(α/2)), clipped to the grid; s as exported
    and held fixed in the backward pass; α = a₀ + (a₁ − a₀)·(1 − lr/lr₀) from a₀ = 1 at the start to a₁ = 16
    at lr = 0, where lr₀ is the learning rate's scale at the start. α → 0 is the identity, α → ∞ rounds.
Source: #589, #606 (about −0.0017 bits per byte against straight-through training, not isolated); spec §6.
Cost in bytes: none in the artifact, 2.1 kB of code. Cost in step time: none before the start; after it 1.6 times that of qat=ste.
When it hurts: a schedule with a floor ends at a smaller α and leaves the weights between grid points.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveFloat
from pgolf.qat.base import Prepared
from pgolf.qat.grid_plan import RowGrid, row_grids
from pgolf.qat.replaced import ReplacedLoss
from pgolf.qat.start import Start, StartFraction, StartScale, Switch
from pgolf.quant.grid import as_rows, qmax

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules


class SoftRound:
    """``qat=soft_round``; exactly one of ``start`` and ``start_lr_scale`` is a number."""

    def __init__(
        self,
        *,
        start: StartFraction,
        start_lr_scale: StartScale,
        alpha_start: PositiveFloat,
        alpha_end: PositiveFloat,
    ) -> None:
        self.start, self.start_lr_scale = start, start_lr_scale
        self.alpha_start, self.alpha_end = alpha_start, alpha_end

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError where training cannot know the grid, for a start that never comes, and for a
        learning rate that does not fall after it, since α would stay where it begins."""
        start = Start(self.start, self.start_lr_scale, schedule)
        reference = start.reference_scale
        if schedule.scale(1.0) >= reference:
            raise ConfigError(
                f"qat.alpha_end: {self.alpha_end:g} is not approached; alpha follows the learning rate, whose "
                f"scale is {reference:g} at the start and {schedule.scale(1.0):g} at the end"
            )
        grids = row_grids(quantizer, model, "soft_round")
        alpha = torch.full((), self.alpha_start, device=next(model.parameters()).device)
        loss = ReplacedLoss(model, {name: partial(soft_round, grid, alpha) for name, grid in grids.items()})

        def follow(lr_scale: float) -> None:
            done = min(1.0, max(0.0, 1 - lr_scale / reference))
            alpha.fill_(self.alpha_start + (self.alpha_end - self.alpha_start) * done)

        what = (
            f"soft_round: {len(grids)} tensors drawn to the export grid in every forward pass, "
            f"alpha {self.alpha_start:g} → {self.alpha_end:g} as the learning rate falls"
        )
        return Prepared(loss, hooks=(Switch(start, what, loss.turn_on, follow),))


def soft_round(grid: RowGrid, alpha: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The softly rounded weight and its derivative at fixed scales; 0 where the code would be clipped."""
    w_RC = as_rows(weight)
    scale_R1 = grid.scale(w_RC).float()[:, None]
    top = qmax(grid.bits)
    y_RC = w_RC / scale_R1
    below_RC = y_RC.floor()
    tanh_RC = torch.tanh(alpha * (y_RC - below_RC - 0.5))
    half = torch.tanh(alpha / 2)
    soft_RC = (below_RC + 0.5 + 0.5 * tanh_RC / half).clamp_(-top, top)
    slope_RC = (1 - tanh_RC.square()) * (alpha / (2 * half)) * (y_RC.abs() <= top + 0.5)
    return (soft_RC * scale_R1).reshape(weight.shape), slope_RC.reshape(weight.shape)
