"""What the scales by standard deviation share: k by component, the row's deviation, multiplication of every k.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.quant.forecast import gaussian_bits
from pgolf.quant.grid import qmax
from pgolf.quant.scale.base import Scale
from pgolf.quant.tensor_info import TensorInfo, check_components

PLACE = "quant.scale.component_k"
Self = TypeVar("Self", bound="DeviationScale")


class DeviationScale(Scale):
    """``component_k`` goes by component for matrices, ``embedding_k`` is for embeddings, ``k`` for other matrices."""

    def __init__(self, *, k: float, component_k: Mapping[str, float] | None, embedding_k: float) -> None:
        own_k = dict(component_k or {})
        for component, own in own_k.items():
            if isinstance(own, bool) or not isinstance(own, (int, float)) or not own > 0:
                raise ConfigError(f"{PLACE}.{component}: {own!r} is out of range: more than 0")
        self.k, self.component_k, self.embedding_k = k, own_k, embedding_k

    def k_of(self, info: TensorInfo) -> float:
        if info.spec.storage == "embedding":
            return self.embedding_k
        return self.component_k.get(info.spec.component, self.k)

    def clip(self, w_RC: Tensor, info: TensorInfo) -> Tensor:
        """k standard deviations (unbiased) of each row [R].

        A row without variance is scaled to its maximum instead: a constant is then exact, and zeros get the
        floor scale. A single column counts as its own deviation.
        """
        if w_RC.shape[1] < 2:
            return self.k_of(info) * w_RC.abs().sum(dim=1)
        clip_R = self.k_of(info) * w_RC.std(dim=1, unbiased=True)
        return torch.where(clip_R > 0, clip_R, w_RC.abs().amax(dim=1))

    def forecast_bits(self, bits: int, columns: int, info: TensorInfo) -> float:
        return gaussian_bits(self.k_of(info) / qmax(bits), qmax(bits))

    def times(self: Self, factor: float) -> Self:
        scaled = copy.copy(self)
        scaled.k, scaled.embedding_k = self.k * factor, self.embedding_k * factor
        scaled.component_k = {component: own * factor for component, own in self.component_k.items()}
        return scaled

    @property
    def smallest_k(self) -> float:
        return min(self.k, self.embedding_k, *self.component_k.values())

    def check(self, tensors: Sequence[TensorInfo]) -> None:
        check_components(PLACE, list(self.component_k), tensors)
