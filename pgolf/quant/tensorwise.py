"""Base of quantizers that need no calibration and store each tensor by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from pgolf.core.results import ParamSpec, QuantizedState, StoredTensor
from pgolf.quant import stored
from pgolf.quant.state_walk import walk


class Tensorwise(ABC):
    """A quantizer supplies ``_store`` and its forecast."""

    calibration_source = None
    each_tensor_alone: ClassVar[bool] = False
    """Whether what is stored of a tensor depends on it alone, and is a rounding that training can go through."""

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> QuantizedState:
        """Every tensor of ``state`` once. Raises UnknownTensor, NonFiniteWeight, ConflictingAlias."""
        return walk(state, specs, self._store, aliases)

    def dequantize(self, state: QuantizedState) -> dict[str, Tensor]:
        """Every name to its float32 tensor, aliases included."""
        return stored.dequantize(state)

    @abstractmethod
    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor: ...
