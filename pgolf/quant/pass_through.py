"""What a quantizer of matrices does with the rest of a model: the embedding on a grid, everything else kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pgolf.core.results import ParamSpec, StoredTensor
from pgolf.quant.entropy import FLOAT_BITS, SCALE_BYTES
from pgolf.quant.forecast import row_maximum_bits
from pgolf.quant.grid import as_rows, row_count
from pgolf.quant.row_codes import up_to_row_maximum
from pgolf.quant.state_walk import KEEP_ROLE, keep

KeepDtype = Literal["by_role", "fp32", "fp16"]


@dataclass(frozen=True, slots=True)
class Rest:
    """Tensors whose storage role is not ``matrix``.

    ``embedding``: ``embedding_bits`` up to the row maximum. ``keep_fp32`` and ``keep_fp16``: as their role says,
    or all in the dtype that ``keep`` names.
    """

    embedding_bits: int
    keep: KeepDtype

    def store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
        """Raises NonFiniteWeight where float16 overflows."""
        if spec.storage == "embedding":
            rows = up_to_row_maximum(name, as_rows(weight.to(torch.float32)), self.embedding_bits)
            return rows.stored(name, spec.component, weight.shape, self.embedding_bits)
        return keep(name, weight, KEEP_ROLE, torch.float16 if stays_half(spec, self.keep) else torch.float32)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int]) -> float:
        """Expected bytes of Gaussian weights, scales included, before any compressor's overhead."""
        weights, rows = math.prod(shape), row_count(shape)
        if spec.storage == "embedding":
            bits = row_maximum_bits(self.embedding_bits, weights // max(1, rows))
            return weights * bits / 8 + SCALE_BYTES * rows
        return weights * FLOAT_BITS["fp16" if stays_half(spec, self.keep) else "fp32"] / 8


def stays_half(spec: ParamSpec, keep: KeepDtype) -> bool:
    """Whether a tensor that is kept is kept in float16."""
    return spec.storage == "keep_fp16" if keep == "by_role" else keep == "fp16"
