"""What a correction is: something small stored beside a quantized matrix that gives part of its error back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from pgolf.core.results import QuantizedState
from pgolf.quant.tensor_info import TensorInfo


class Correction(Protocol):
    """A child of a quantizer, group ``quant/correction``. ``needs_hessians``: without them it raises ConfigError."""

    needs_hessians: bool

    def correct(
        self, weights: Mapping[str, Tensor], state: QuantizedState, hessians: Mapping[str, Tensor] | None
    ) -> QuantizedState:
        """``state`` with corrections added. ``weights`` are those that were quantized, by name.

        ``hessians``: parameter name to float32 [C, C], the sum of x x^T over the inputs x of the linear map.
        """
        ...

    def forecast_bytes(self, tensors: Sequence[TensorInfo]) -> float:
        """Expected bytes of what is stored beside ``tensors``, those of the model that are on the grid."""
        ...
