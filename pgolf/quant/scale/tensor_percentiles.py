"""Several percentiles of each row's magnitudes; the quantizer keeps, for the whole tensor, the one with the least
error.

Formula: s_r^p = fp16(quantile(|W_r|, p) / qmax) for every p; all rows of the tensor take argmin_p of
    Σ_rj (W_rj − What_rj)² when rounding to nearest, and of Σ_r (W_r − What_r) H (W_r − What_r)ᵀ in GPTQ.
Source: the code of #187 (0.999 … 0.9999999) and of #414 and its descendants (0.999 … 1), whose texts say per row
    (spec quant §2.7). #1019 and #1204 compare plain squared errors after GPTQ.
Cost in bytes: those of ``percentiles``. Cost in step time: the same.
When it hurts: always beside ``percentiles``, a little: a row with one large weight and a row without share a choice.
    Under ``floor: legacy`` and with rows below 1 all candidates are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.quant.grid import ScaleFloor
from pgolf.quant.scale.quantile import QuantileScale, check_percentiles


class TensorPercentiles(QuantileScale):
    """``quant/scale=tensor_percentiles``."""

    per_tensor = True

    def __init__(self, *, percentiles: Sequence[float], floor: ScaleFloor) -> None:
        check_percentiles(percentiles)
        super().__init__(percentiles, floor)
