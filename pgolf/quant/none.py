"""Keep every weight in float32, bit for bit: the artifact that loses nothing.

Formula: What = W.
Source: none needed; it separates the damage of quantization from everything else.
Cost in bytes: 4 per weight; trained float32 weights compress by less than a tenth.
Cost in step time: none.
When it hurts: always over the cap at a useful size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pgolf.core.results import ParamSpec, QuantizedState, StoredTensor
from pgolf.quant import stored
from pgolf.quant.walk import KEEP_ROLE, keep, walk


class NoQuantizer:
    """``quant=none``."""

    calibration_source = None

    def __init__(self) -> None:
        pass

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> QuantizedState:
        """All of ``state`` as float32. Raises UnknownTensor, NonFiniteWeight, ConflictingAlias."""
        return walk(state, specs, _store, aliases)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Four bytes a weight, before compression."""
        return 4.0 * math.prod(shape)

    def dequantize(self, state: QuantizedState) -> dict[str, Tensor]:
        """Every name to its float32 tensor, aliases included."""
        return stored.dequantize(state)


def _store(name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
    role = spec.component if spec.storage in ("matrix", "embedding") else KEEP_ROLE
    return keep(name, weight, role, torch.float32)
