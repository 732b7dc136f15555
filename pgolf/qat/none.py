"""Train the weights as they are; what rounding them costs is seen afterwards.

Formula: none. Source: #1218 dropped quantization-aware training as useless beside GPTQ. Cost in bytes: none.
Cost in step time: none, the model's own loss is trained on. Hurts: nothing; a coarse grid without GPTQ may
    lose more than a late straight-through phase costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgolf.qat.base import Loss, Prepared, QATMethod

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules


class NoQAT(QATMethod):
    """``qat=none``."""

    neutral = True

    def __init__(self) -> None:
        pass

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """The model's loss and no hook."""
        return Prepared(Loss(model.loss))
