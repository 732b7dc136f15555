"""Several percentiles of each row's magnitudes; the quantizer keeps, row by row, the one with the least error.

Formula: s_r^p = fp16(quantile(|W_r|, p) / qmax) for every p; the row takes argmin_p of its error, which is
    Σ(W_r − What_r)² when rounding to nearest (GPTQ-lite) and (W_r − What_r) H (W_r − What_r)ᵀ in GPTQ.
Source: PR #414's GPTQ-lite, whose code picks one p per tensor where its text says per row; PRs #1019, #1060 and
    #1204 run GPTQ for each p and compare plain squared errors, the wrong objective (spec quant §2.7, §3.4).
Cost in bytes: within 0.1 bit a weight of the row maximum.
Cost in step time: one rounding (or one GPTQ pass, batched) for every percentile, at the end.
When it hurts: with ``floor: legacy`` and rows below 1 all candidates are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.quant.grid import ScaleFloor
from pgolf.quant.scale.quantile import QuantileScale, check_percentiles


class Percentiles(QuantileScale):
    """``quant/scale=percentiles``."""

    def __init__(self, *, percentiles: Sequence[float], floor: ScaleFloor) -> None:
        check_percentiles(percentiles)
        super().__init__(percentiles, floor)
