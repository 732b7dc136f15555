"""Base of quantizers that need no calibration and store each tensor by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from pgolf.core.results import ParamSpec, QuantizedState, StoredTensor
from pgolf.quant.base import BaseQuantizer
from pgolf.quant.state_walk import walk


class Tensorwise(BaseQuantizer):
    """A quantizer supplies ``_store`` and its forecast."""

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> QuantizedState:
        """Every tensor of ``state`` once. Raises UnknownTensor, NonFiniteWeight, ConflictingAlias."""
        return walk(state, specs, self._store, aliases)

    @abstractmethod
    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor: ...
