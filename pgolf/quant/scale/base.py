"""What scales have in common: they propose float16 scales per row, and foretell the bits a weight will take.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import TensorFacts


class Scale:
    """An option says where a row's grid ends."""

    needs_hessians: ClassVar[bool] = False
    trained_bits: ClassVar[float] = 0.0
    """Bits a weight that trained rows take beyond Gaussian ones, measured; see ``pgolf.quant.forecast``."""

    @property
    def follows_law(self) -> bool:
        """Whether the step of a row is a share of its own weights, so that its bits can be foretold."""
        return True

    @abstractmethod
    def candidates(
        self, w_RC: Tensor, bits: int, facts: TensorFacts, hessian_CC: Tensor | None
    ) -> list[Tensor]:
        """Scales float16 [R], one list entry per candidate; the quantizer keeps the best for each row."""

    @abstractmethod
    def forecast_bits(self, bits: int, columns: int, facts: TensorFacts) -> float:
        """Expected entropy in bits per weight of Gaussian rows of ``columns`` weights."""

    def times(self, factor: float) -> Scale:
        """The same scale with every k multiplied. Raises ConfigError where there is no k."""
        raise self._without_k()

    @property
    def smallest_k(self) -> float:
        """The smallest k of any tensor. Raises ConfigError where there is none."""
        raise self._without_k()

    def _without_k(self) -> ConfigError:
        return ConfigError(
            f"quant.target_bytes: a size is hit by multiplying k, and quant/scale={type(self).__name__.lower()} has "
            "none. Choices: sdclip, hessian_sdclip"
        )

    def check(self, tensors: Sequence[TensorFacts]) -> None:
        """Raise ConfigError where a setting names a component that the model does not have."""
        return None
