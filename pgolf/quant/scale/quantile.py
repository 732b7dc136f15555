"""What the scales by percentile share: candidates from the row's magnitudes, the floor under the step, the forecast.

Under the legacy floor a row whose clip is below 1 has the step 1/qmax, so its bits depend on the size of its
weights; the forecast then takes the size that trained weights are expected to have.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.quant.forecast import LARGEST_LIES_FURTHER_OUT, expected_rms, gaussian_bits, least_error_sigmas
from pgolf.quant.grid import ScaleFloor, qmax, row_clip, row_scale
from pgolf.quant.scale.base import Scale
from pgolf.quant.tensor_info import TensorInfo

PLACE = "quant.scale.percentiles"


def check_percentiles(percentiles: Sequence[float]) -> None:
    """Raise ConfigError unless they are different numbers in 0..1, 0 excluded, and at least one."""
    outside = [p for p in percentiles if not 0 < p <= 1]
    if outside or not percentiles or len(set(percentiles)) != len(percentiles):
        raise ConfigError(f"{PLACE}: {list(percentiles)} must be different numbers, more than 0 and at most 1")


class QuantileScale(Scale):
    """One candidate for each of ``percentiles`` (0..1], ``floor`` under all of them."""

    def __init__(self, percentiles: Sequence[float], floor: ScaleFloor) -> None:
        self.percentiles, self.floor = tuple(percentiles), floor

    @property
    def trained_bits(self) -> float:
        return LARGEST_LIES_FURTHER_OUT if self.follows_law else 0.0

    @property
    def follows_law(self) -> bool:
        return self.floor != "legacy"

    def candidates(self, w_RC: Tensor, bits: int, info: TensorInfo, hessian_CC: Tensor | None) -> list[Tensor]:
        return [row_scale(row_clip(w_RC, p), bits, self.floor) for p in self.percentiles]

    def forecast_bits(self, bits: int, columns: int, info: TensorInfo) -> float:
        top = qmax(bits)
        sigmas = least_error_sigmas(self.percentiles, columns, top)
        if not self.follows_law:
            sigmas = max(sigmas, 1 / expected_rms(info.spec.storage))  # the grid ends at 1 or beyond
        return gaussian_bits(sigmas / top, top)
