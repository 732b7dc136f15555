"""A penalty on weights whose row has a coarse step: large rows shrink, so that their rounding error does.

Formula: loss + λ·P, P = Σ over the matrices of linear layers of the sum over rows (``reduction: rows``) or of the
    mean over rows, which is that over all elements (``matrix``), of mean(w_row²)·δ²/12, with δ = max|w_row|/levels.
    δ²/12 is the squared rounding error of a step δ. ``levels: null`` takes the tensor's own last code, 15 at int5
    and 31 at int6. ``step_gradient: true`` lets the gradient through δ, which also pulls each row's largest weight.
    Gradient of a row of C weights with δ held fixed: λ·w·δ²/(6·C), and a row count less of it for ``matrix``.
Source: two forms, λ = 0.01 in both (spec quant §6).
    qat=crown_q        #693: sum over rows, δ not detached, 15 levels, deliberately coarser than its int6 export
                       (about −0.0015 bits per byte, not isolated).
    qat=crown_q_pr860  #860: mean over the matrix, δ detached, the layer's own levels.
    On one matrix of R rows that keeps q levels the first is R·(q/15)² times the second, about a thousand at #693's
    and #860's sizes. Here both go over the linear layers alone, as there; the embedding has no part in P.
Cost in bytes: none by itself, 2.6 kB of code with ``rounding: ste``; it is a weight decay by the square of a row's
maximum.
Cost in step time: none before the start; then 9 ms on one core for the laptop's 1.5 M weights, plus those of
    ``rounding: ste``.
When it hurts: where a norm follows and a row's size means nothing, rows only shrink, steps with them. It hardly
    acts: at the laptop's initial weights λP is 2.0e-7 as #693 has it and 1.4e-9 as #860, its gradient 8.6e-8 and
    9.7e-11 in norm, where that of the loss is 0.027.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from pgolf.core.ranges import PositiveFloat, PositiveInt
from pgolf.qat.base import Prepared, QATMethod
from pgolf.qat.grid_plan import grid_bits, grid_plan, gridded, linear_layers
from pgolf.qat.replaced import ReplacedLoss
from pgolf.qat.start import Switch
from pgolf.quant.grid import as_rows, qmax
from pgolf.train.start import Start, StartFraction, StartScale

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules

Reduction = Literal["rows", "matrix"]


class CrownQ(QATMethod):
    """``qat=crown_q``; ``rounding`` says whether the forward pass uses the exported weights too."""

    def __init__(
        self,
        *,
        start: StartFraction,
        start_lr_scale: StartScale,
        weight: PositiveFloat,
        levels: PositiveInt | None,
        reduction: Reduction,
        step_gradient: bool,
        rounding: Literal["ste", "none"],
    ) -> None:
        self.start, self.start_lr_scale = start, start_lr_scale
        self.weight, self.levels, self.rounding = weight, levels, rounding
        self.reduction: Reduction = reduction
        self.step_gradient = step_gradient

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError for a start that never comes, a quantizer that rounds nothing, with ``rounding:
        ste`` one whose grid and with ``levels: null`` one whose bits training cannot know."""
        start = Start(self.start, self.start_lr_scale, schedule)
        levels = self._levels(model, quantizer)
        grids = grid_plan(quantizer, model, "crown_q") if self.rounding == "ste" else {}
        parameters = dict(model.named_parameters())
        penalised = [(parameters[name], top) for name, top in levels.items()]
        loss = ReplacedLoss(
            model,
            {name: grid.round for name, grid in grids.items()},
            penalty=lambda: self.weight * rounding_penalty(penalised, self.reduction, step_gradient=self.step_gradient),
        )
        rounded = f", {len(grids)} rounded to the export grid in every forward pass" if grids else ""
        what = f"crown_q: {len(levels)} tensors penalised for coarse rows with {self.weight:g}{rounded}"
        return Prepared(loss, hooks=(Switch(start, what, loss.turn_on),))

    def _levels(self, model: Model, quantizer: Quantizer) -> dict[str, int]:
        """By how much the largest weight of a row is divided, for every matrix that the penalty is about."""
        if self.levels is not None:
            return dict.fromkeys(linear_layers(gridded(quantizer, model, "crown_q"), model), self.levels)
        bits = grid_bits(quantizer, model, "crown_q")
        return {name: qmax(bits[name]) for name in linear_layers(bits, model)}


def rounding_penalty(weights: Sequence[tuple[Tensor, int]], reduction: Reduction, *, step_gradient: bool) -> Tensor:
    """P (fp32, 0-dim) of ``weights``, each with its levels; see the formula above."""
    total = torch.zeros((), device=weights[0][0].device)
    for weight, levels in weights:
        w_RC = as_rows(weight)
        largest_R = (w_RC if step_gradient else w_RC.detach()).abs().amax(1)
        error_R = w_RC.square().mean(1) * (largest_R / levels).square() / 12
        total = total + (error_R.sum() if reduction == "rows" else error_R.mean())
    return total
