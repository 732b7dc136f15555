"""Keep every weight in float32, bit for bit: the artifact that loses nothing.

Formula: What = W.
Source: none needed; it separates the damage of quantization from everything else.
Cost in bytes: 4 per weight before compression, 3.3 to 3.4 after it: only the exponent is not as good as random.
Cost in step time: none.
When it hurts: always over the cap at a useful size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pgolf.core.results import ParamSpec, StoredTensor
from pgolf.quant.entropy import FLOAT_BITS
from pgolf.quant.state_walk import KEEP_ROLE, keep
from pgolf.quant.tensorwise import Tensorwise


class NoQuantizer(Tensorwise):
    """``quant=none``."""

    def __init__(self) -> None:
        pass

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Expected bytes of a Gaussian tensor, before any compressor's overhead."""
        return math.prod(shape) * FLOAT_BITS["fp32"] / 8

    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
        role = spec.component if spec.storage in ("matrix", "embedding") else KEEP_ROLE
        return keep(name, weight, role, torch.float32)
