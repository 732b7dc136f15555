"""The grid of a row ends at a percentile of its magnitudes.

Formula: s_r = fp16(quantile(|W_r|, percentile) / qmax), linear between order statistics.
Source: the int8 baseline of the parameter-golf challenge, which takes 0.9999984 (spec quant §2.1).
Cost in bytes: int6 on Gaussian rows 5.32 bits a weight at 512 columns, 5.48 at 160, where the row maximum is nearer;
    a bit per bit of the grid.
Cost in step time: none.
When it hurts: the largest weight of a row sets the step of all others; and a percentile below (C-2)/(C-1) clips it,
    which buys a finer step and therefore *more* bytes.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.quant.forecast import LARGEST_LIES_FURTHER_OUT, gaussian_bits, percentile_sigmas
from pgolf.quant.grid import ScaleFloor, qmax, row_clip, row_scale
from pgolf.quant.scale.base import Scale
from pgolf.quant.tensor_info import TensorFacts


class Percentile(Scale):
    """``quant/scale=percentile``; 1 is the row maximum."""

    trained_bits = LARGEST_LIES_FURTHER_OUT

    def __init__(
        self, *, percentile: Annotated[float, Between(0, 1, open_low=True)], floor: ScaleFloor
    ) -> None:
        self.percentile, self.floor = percentile, floor

    @property
    def follows_law(self) -> bool:
        return self.floor != "legacy"  # a step that is the same for all rows below 1

    def candidates(
        self, w_RC: Tensor, bits: int, facts: TensorFacts, hessian_CC: Tensor | None
    ) -> list[Tensor]:
        return [row_scale(row_clip(w_RC, self.percentile), bits, self.floor)]

    def forecast_bits(self, bits: int, columns: int, facts: TensorFacts) -> float:
        return gaussian_bits(percentile_sigmas(self.percentile, columns) / qmax(bits), qmax(bits))
