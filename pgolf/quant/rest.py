"""What a quantizer of matrices does with the rest of a model: the embedding on a grid, everything else kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pgolf.core.results import ParamSpec, StoredTensor
from pgolf.quant.errors import NonFiniteWeight
from pgolf.quant.forecast import row_maximum_bits
from pgolf.quant.grid import as_rows, quantize_rows, row_clip, row_count, row_scale
from pgolf.quant.walk import KEEP_ROLE, keep

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
            return self._on_grid(name, weight, spec.component)
        return keep(name, weight, KEEP_ROLE, torch.float16 if self._in_half(spec) else torch.float32)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int]) -> float:
        """Expected bytes, scales included: of Gaussian rows for the embedding, exact for what is kept."""
        weights, rows = math.prod(shape), row_count(shape)
        if spec.storage == "embedding":
            return weights * row_maximum_bits(self.embedding_bits, weights // max(1, rows)) / 8 + 2 * rows
        return weights * (2 if self._in_half(spec) else 4)

    def _in_half(self, spec: ParamSpec) -> bool:
        return spec.storage == "keep_fp16" if self.keep == "by_role" else self.keep == "fp16"

    def _on_grid(self, name: str, weight: Tensor, role: str) -> StoredTensor:
        w_RC = as_rows(weight.to(torch.float32))
        scale_R = row_scale(row_clip(w_RC, percentile=1.0), self.embedding_bits, floor="smallest_normal")
        check_scales(name, w_RC, scale_R)
        q_RC = quantize_rows(w_RC, scale_R, self.embedding_bits)
        arrays = {"q": q_RC.reshape(weight.shape).cpu().numpy(), "scale": scale_R.cpu().numpy()}
        return StoredTensor(name, role, "grid", tuple(weight.shape), arrays, self.embedding_bits)


def check_scales(name: str, weight: Tensor, scale: Tensor) -> None:
    """Raises NonFiniteWeight where a float16 scale overflowed."""
    if not bool(torch.isfinite(scale).all()):
        raise NonFiniteWeight(
            name, f"weights up to {float(weight.abs().max()):g} need a scale beyond float16"
        )
