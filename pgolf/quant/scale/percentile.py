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

from pgolf.core.ranges import Between
from pgolf.quant.grid import ScaleFloor
from pgolf.quant.scale.quantile import QuantileScale


class Percentile(QuantileScale):
    """``quant/scale=percentile``; 1 is the row maximum."""

    def __init__(self, *, percentile: Annotated[float, Between(0, 1, open_low=True)], floor: ScaleFloor) -> None:
        super().__init__((percentile,), floor)
