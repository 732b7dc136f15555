"""Round each weight to the nearest point of a symmetric grid with one float16 scale per row.

Formula: q = clamp(round(W / s), -qmax, qmax), What = q s, qmax = 2^(bits-1) - 1; s is ``quant/scale``'s, of several
    the one with the least squared error in each row, which is GPTQ-lite.
Source: the int8 baseline of the parameter-golf challenge; its int6 form is PR #687's first step; GPTQ-lite PR #414.
Cost in bytes: about H0 = log2(sigma/s) + 2.05 bits per weight after entropy coding, where sigma is the row's
    standard deviation, plus 2 per row.
Cost in step time: none; about 0.1 s per ten million weights and scale at the end.
When it hurts: below 6 bits, where errors that GPTQ would let cancel are left as they fall.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor

from pgolf.core.ranges import Between, PositiveInt
from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant import stored
from pgolf.quant.facts import Roles
from pgolf.quant.pipeline import Pipeline
from pgolf.quant.rest import KeepDtype


class RTN:
    """``quant=rtn``. What is quantized is decided by storage role, then by ``policy``; never by the element count."""

    calibration_source = None

    def __init__(
        self,
        *,
        bits: Annotated[int, Between(2, 8)],
        embedding_bits: Annotated[int, Between(2, 8)],
        scale: Mapping[str, Any],
        policy: Mapping[str, Any],
        correction: Mapping[str, Any],
        keep: KeepDtype,
        target_bytes: PositiveInt | None,
    ) -> None:
        roles = Roles(bits, embedding_bits, keep)
        self.pipeline = Pipeline(
            roles, scale=scale, policy=policy, correction=correction, target_bytes=target_bytes
        )
        self.pipeline.refuse_hessians()
        self.target_bytes = target_bytes

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> QuantizedState:
        """Raises UnknownTensor, NonFiniteWeight, ConflictingAlias. Has no use for a calibration."""
        return self.pipeline.run(state, specs, aliases, {}, self.pipeline.nearest({}))

    def dequantize(self, state: QuantizedState) -> dict[str, Tensor]:
        """Every name to its float32 tensor, aliases included."""
        return stored.dequantize(state)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Expected bytes of one tensor of Gaussian rows by its storage role, before any compressor's overhead."""
        return self.pipeline.forecast_bytes(spec, shape, name)

    def forecast_model(
        self, specs: Mapping[str, ParamSpec], shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, float]:
        """The same for every tensor of a model, as the policy treats it."""
        return self.pipeline.forecast_model(specs, shapes)

    def times(self, factor: float) -> RTN:
        """The same quantizer with every k of its scale multiplied."""
        scaled = copy.copy(self)
        scaled.pipeline = self.pipeline.times(factor)
        return scaled

    @property
    def smallest_k(self) -> float:
        """Of the scale. Raises ConfigError where it has no k."""
        return self.pipeline.scale.smallest_k

    def estimate_bytes(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> float:
        """Bytes of the result by entropy, without a compressor."""
        return self.pipeline.estimate_bytes(state, specs, aliases, {})
