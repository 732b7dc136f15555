"""A penalty on weights whose row has a coarse step: large rows shrink, so that their rounding error does.

Formula: loss + λ·Σ_rows mean(w²)·δ²/12 over the rows of all tensors on the grid, δ = max|w_row|/levels held
    fixed in the backward pass; gradient λ·w·δ²/(6·C) for a row of C. δ²/12 is the squared rounding error of a
    step δ; ``levels`` 15 is that of int5, deliberately coarser than an int6 export.
Source: #693, named by #860 (about −0.0015 bits per byte, not isolated; λ = 1e-4 in a fork, not stated there).
    That δ is held fixed is our choice where the sources are silent; spec quant §6.
Cost in bytes: none by itself, 2.1 kB of code; it is a weight decay by the square of a row's maximum.
Cost in step time: none before the start; then 9 ms on one core for the laptop's 1.5 M weights, plus those of
    ``rounding: ste``.
When it hurts: where a norm follows and a row's size means nothing, rows only shrink, steps with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from pgolf.core.ranges import PositiveFloat, PositiveInt
from pgolf.qat.base import Prepared
from pgolf.qat.grid_plan import grid_plan, gridded
from pgolf.qat.replaced import ReplacedLoss
from pgolf.qat.start import Start, StartFraction, StartScale, Switch
from pgolf.quant.grid import as_rows

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules


class CrownQ:
    """``qat=crown_q``; ``rounding`` says whether the forward pass uses the exported weights too."""

    def __init__(
        self,
        *,
        start: StartFraction,
        start_lr_scale: StartScale,
        weight: PositiveFloat,
        levels: PositiveInt,
        rounding: Literal["ste", "none"],
    ) -> None:
        self.start, self.start_lr_scale = start, start_lr_scale
        self.weight, self.levels, self.rounding = weight, levels, rounding

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError for a start that never comes, a quantizer that rounds nothing and, with
        ``rounding: ste``, one whose grid training cannot know."""
        start = Start(self.start, self.start_lr_scale, schedule)
        names = gridded(quantizer, model, "crown_q")
        grids = grid_plan(quantizer, model, "crown_q") if self.rounding == "ste" else {}
        parameters = dict(model.named_parameters())
        weights = [parameters[name] for name in names]
        loss = ReplacedLoss(
            model,
            {name: grid.round for name, grid in grids.items()},
            penalty=lambda: self.weight * rounding_penalty(weights, self.levels),
        )
        rounded = f", {len(grids)} of them rounded to the export grid in every forward pass" if grids else ""
        what = f"crown_q: {len(names)} tensors penalised for coarse rows with {self.weight:g}{rounded}"
        return Prepared(loss, hooks=(Switch(start, what, loss.turn_on),))


def rounding_penalty(weights: Sequence[Tensor], levels: int) -> Tensor:
    """``Σ_rows mean(w²)·δ²/12`` (fp32 scalar) over the rows of all ``weights``; no gradient through δ."""
    total = torch.zeros((), device=weights[0].device)
    for weight in weights:
        w_RC = as_rows(weight)
        delta_R = w_RC.detach().abs().amax(1) / levels
        total = total + (w_RC.square().mean(1) * (delta_R.square() / 12)).sum()
    return total
