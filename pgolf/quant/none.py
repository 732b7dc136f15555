"""Keep every weight in float32, bit for bit: the artifact that loses nothing.

Formula: What = W.
Source: none needed; it separates the damage of quantization from everything else.
Cost in bytes: 4 per weight; trained float32 weights compress by less than a tenth.
Cost in step time: none.
When it hurts: always over the cap at a useful size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pgolf.core.results import ParamSpec, StoredTensor
from pgolf.quant.state_walk import KEEP_ROLE, keep
from pgolf.quant.tensorwise import Tensorwise


class NoQuantizer(Tensorwise):
    """``quant=none``."""

    def __init__(self) -> None:
        pass

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Four bytes a weight, before compression."""
        return 4.0 * math.prod(shape)

    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
        role = spec.component if spec.storage in ("matrix", "embedding") else KEEP_ROLE
        return keep(name, weight, role, torch.float32)
