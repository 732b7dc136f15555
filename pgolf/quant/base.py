"""What every quantizer is: from weights to stored tensors and back, and what the rest of a run must know about it.

The contract is ``pgolf.core.protocols.Quantizer``; here are its defaults, so that an option states only what is
different about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant import stored

if TYPE_CHECKING:
    from pgolf.quant.calibration.base import CalibrationSource
    from pgolf.quant.pipeline import Pipeline


class BaseQuantizer(ABC):
    """An option supplies ``quantize`` and ``forecast_bytes``."""

    calibration_source: CalibrationSource | None = None
    """Measures what ``quantize`` takes as ``calibration``; None: nothing is needed."""

    target_bytes: int | None = None
    """The submission's size, to be hit by ``pgolf.quant.target``; None: whatever comes out."""

    trains_through_export: ClassVar[bool] = False
    """Whether training rounds a tensor by storing it alone and decoding it: no ``pipeline`` knows its levels."""

    pipeline: Pipeline | None = None
    """How tensors get onto the grid with a scale per row; None where they do not."""

    @property
    def trained_bits(self) -> float:
        """Bits a weight that trained weights on its grid take beyond Gaussian ones; see ``pgolf.quant.forecast``."""
        return 0.0

    @property
    def follows_law(self) -> bool:
        """Whether steps are shares of the weights; False: bytes depend on the size that weights will have."""
        return True

    @abstractmethod
    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: Any = None,
    ) -> QuantizedState:
        """Every tensor of ``state`` once. Raises UnknownTensor, NonFiniteWeight, ConflictingAlias."""

    def dequantize(self, state: QuantizedState) -> dict[str, Tensor]:
        """Every name to its float32 tensor, aliases included."""
        return stored.dequantize(state)

    @abstractmethod
    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Expected bytes of one tensor by its storage role, its scales included."""

    def forecast_model(self, specs: Mapping[str, ParamSpec], shapes: Mapping[str, Sequence[int]]) -> dict[str, float]:
        """The same for every tensor of a model; overridden where its treatment depends on the others."""
        return {name: self.forecast_bytes(spec, shapes[name], name) for name, spec in specs.items()}
