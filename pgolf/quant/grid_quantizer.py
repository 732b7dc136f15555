"""What quantizers onto the row-wise grid offer alike, all of it answered by their pipeline."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pgolf.core.results import ParamSpec
from pgolf.quant.base import BaseQuantizer
from pgolf.quant.pipeline import GridSettings, Pipeline

if TYPE_CHECKING:
    from typing_extensions import Self


class GridQuantizer(BaseQuantizer):
    """Base of RTN and GPTQ, which add ``quantize`` and ``estimate_bytes``."""

    pipeline: Pipeline

    def __init__(self, settings: GridSettings) -> None:
        self.pipeline = Pipeline(settings)
        self.target_bytes = settings.target_bytes

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Expected bytes of one tensor of Gaussian rows by its storage role, before any compressor's overhead."""
        return self.pipeline.forecast_bytes(spec, shape, name)

    def forecast_model(self, specs: Mapping[str, ParamSpec], shapes: Mapping[str, Sequence[int]]) -> dict[str, float]:
        """The same for every tensor of a model, as the policy treats it."""
        return self.pipeline.forecast_model(specs, shapes)

    @property
    def trained_bits(self) -> float:
        """Of the scale."""
        return self.pipeline.scale.trained_bits

    @property
    def follows_law(self) -> bool:
        """Of the scale."""
        return self.pipeline.scale.follows_law

    def times(self, factor: float) -> Self:
        """The same quantizer with every k of its scale multiplied."""
        scaled = copy.copy(self)
        scaled.pipeline = self.pipeline.times(factor)
        return scaled

    @property
    def smallest_k(self) -> float:
        """Of the scale. Raises ConfigError where it has no k."""
        return self.pipeline.scale.smallest_k
