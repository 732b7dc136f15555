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

from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.quant.forecast import LARGEST_LIES_FURTHER_OUT, gaussian_bits, least_error_sigmas
from pgolf.quant.grid import ScaleFloor, qmax, row_clip, row_scale
from pgolf.quant.scale.base import Scale
from pgolf.quant.tensor_info import TensorFacts

PLACE = "quant.scale.percentiles"


class Percentiles(Scale):
    """``quant/scale=percentiles``."""

    trained_bits = LARGEST_LIES_FURTHER_OUT

    def __init__(self, *, percentiles: Sequence[float], floor: ScaleFloor) -> None:
        outside = [p for p in percentiles if not 0 < p <= 1]
        if outside or not percentiles or len(set(percentiles)) != len(percentiles):
            raise ConfigError(
                f"{PLACE}: {list(percentiles)} must be different numbers, more than 0 and at most 1"
            )
        self.percentiles, self.floor = tuple(percentiles), floor

    @property
    def follows_law(self) -> bool:
        return self.floor != "legacy"  # a step that is the same for all rows below 1

    def candidates(
        self, w_RC: Tensor, bits: int, facts: TensorFacts, hessian_CC: Tensor | None
    ) -> list[Tensor]:
        return [row_scale(row_clip(w_RC, p), bits, self.floor) for p in self.percentiles]

    def forecast_bits(self, bits: int, columns: int, facts: TensorFacts) -> float:
        sigmas = least_error_sigmas(self.percentiles, columns, qmax(bits))
        return gaussian_bits(sigmas / qmax(bits), qmax(bits))
