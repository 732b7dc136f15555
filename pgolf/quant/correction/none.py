"""No correction: what the grid lost stays lost.

Formula: What = q s.
Source: none needed; it is what corrections are measured against.
Cost in bytes: none.
Cost in step time: none.
When it hurts: where a few matrices carry most of the error; see lqer_weighted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pgolf.core.results import QuantizedState
from pgolf.quant.tensor_info import TensorInfo


class NoCorrection:
    """``quant/correction=none``."""

    needs_hessians = False

    def __init__(self) -> None:
        pass

    def correct(
        self, weights: Mapping[str, Tensor], state: QuantizedState, hessians: Mapping[str, Tensor] | None
    ) -> QuantizedState:
        return state

    def forecast_bytes(self, tensors: Sequence[TensorInfo]) -> float:
        return 0.0
