"""What soft roundings share: a curve between the identity and rounding, hardening while the learning rate falls.

Formula: ŵ = s·clamp(curve(w/s, α), −q, q) with s as exported and held fixed in the backward pass, which takes the
    curve's own derivative where |w/s| ≤ q + ½ and 0 beyond, so that clamping cuts off no weight that has a code;
    α = a₀ + (a₁ − a₀)·(1 − lr/lr₀), where lr₀ is the learning rate's scale at the start.
Cost: see the options, which bring the curve.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveFloat
from pgolf.qat.base import Prepared, QATMethod
from pgolf.qat.grid_plan import RowGrid, row_grids
from pgolf.qat.replaced import ReplacedLoss
from pgolf.qat.start import Switch
from pgolf.quant.grid import as_rows, qmax
from pgolf.train.start import Start, StartFraction, StartScale

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules

Curve = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Hardening(QATMethod):
    """An option names itself and brings the curve; exactly one of ``start`` and ``start_lr_scale`` is a number."""

    word: ClassVar[str]
    """The option's name, for messages."""

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

    @staticmethod
    @abstractmethod
    def curve(y: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Softly rounded ``y`` (in steps of the grid) and its derivative, both in y's shape; ``alpha`` is 0-dim."""

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError where training cannot know the grid, for a start that never comes, and for a
        learning rate that does not fall after it, since α would stay where it begins."""
        start = Start(self.start, self.start_lr_scale, schedule)
        reference = start.reference_scale
        last = schedule.foreseen(1.0)
        if last is not None and last >= reference:
            raise ConfigError(
                f"qat.alpha_end: {self.alpha_end:g} is not approached; alpha follows the learning rate, whose "
                f"scale is {reference:g} at the start and {last:g} at the end"
            )
        grids = row_grids(quantizer, model, self.word)
        # A tensor that is filled in place, never a number: a compiler would fold a number into its graph.
        alpha = torch.full((), self.alpha_start, device=next(model.parameters()).device)
        loss = ReplacedLoss(model, {name: partial(soften, self.curve, grid, alpha) for name, grid in grids.items()})

        def follow(lr_scale: float) -> None:
            done = min(1.0, max(0.0, 1 - lr_scale / reference))
            alpha.fill_(self.alpha_start + (self.alpha_end - self.alpha_start) * done)

        what = (
            f"{self.word}: {len(grids)} tensors drawn to the export grid in every forward pass, "
            f"alpha {self.alpha_start:g} → {self.alpha_end:g} as the learning rate falls"
        )
        return Prepared(loss, hooks=(Switch(start, what, loss.turn_on, follow),))


def soften(curve: Curve, grid: RowGrid, alpha: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The softly rounded weight and its derivative at fixed scales; 0 where the code would be clipped."""
    w_RC = as_rows(weight)
    scale_R1 = grid.scale(w_RC).float()[:, None]
    top = qmax(grid.bits)
    y_RC = w_RC / scale_R1
    soft_RC, slope_RC = curve(y_RC, alpha)
    value_RC = soft_RC.clamp(-top, top) * scale_R1
    slope_RC = slope_RC * (y_RC.abs() <= top + 0.5)
    return value_RC.reshape(weight.shape), slope_RC.reshape(weight.shape)
