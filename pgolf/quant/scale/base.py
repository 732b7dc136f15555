"""What scales have in common: they propose float16 scales per row, and forecast the bits a weight will take.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import TensorInfo


class Scale:
    """An option says where a row's grid ends."""

    needs_hessians: ClassVar[bool] = False
    """Whether its candidates are made with the Hessian of the tensor's inputs."""

    per_tensor: ClassVar[bool] = False
    """Whether one candidate serves all rows of a tensor; otherwise each row takes its best."""

    has_k: ClassVar[bool] = False
    """Whether a size can be hit by multiplying its every k."""

    @property
    def trained_bits(self) -> float:
        """Bits a weight that trained rows take beyond Gaussian ones, measured; see ``pgolf.quant.forecast``."""
        return 0.0

    @property
    def follows_law(self) -> bool:
        """Whether the step of a row is a share of its own weights, so that their size does not matter."""
        return True

    @abstractmethod
    def candidates(self, w_RC: Tensor, bits: int, info: TensorInfo, hessian_CC: Tensor | None) -> list[Tensor]:
        """Scales float16 [R], one list entry per candidate; the quantizer keeps the best of them."""

    @abstractmethod
    def forecast_bits(self, bits: int, columns: int, info: TensorInfo) -> float:
        """Expected entropy in bits per weight of Gaussian rows of ``columns`` weights."""

    def times(self, factor: float) -> Scale:
        """The same scale with every k multiplied. Raises ConfigError where there is no k."""
        raise self._without_k()

    @property
    def smallest_k(self) -> float:
        """The smallest k of any tensor. Raises ConfigError where there is none."""
        raise self._without_k()

    def _without_k(self) -> ConfigError:
        option = type(self).__module__.rpartition(".")[2]
        return ConfigError(f"quant.target_bytes: a size is hit by multiplying k, and quant/scale={option} has none")

    def check(self, tensors: Sequence[TensorInfo]) -> None:
        """Raise ConfigError where a setting names a component that the model does not have."""
        return None
