"""A matrix on the row-wise grid, before it becomes a stored tensor. Shapes: R rows (outputs), C columns (inputs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.errors import NonFiniteWeight
from pgolf.quant.grid import quantize_rows, row_clip, row_scale
from pgolf.quant.schemes.grid import NAME as GRID


@dataclass(frozen=True, slots=True)
class RowCodes:
    """``q_RC`` int8, ``scale_R`` float16."""

    q_RC: Tensor
    scale_R: Tensor

    def stored(self, name: str, role: str, shape: Sequence[int], bits: int) -> StoredTensor:
        arrays = {"q": self.q_RC.reshape(shape).cpu().numpy(), "scale": self.scale_R.cpu().numpy()}
        return StoredTensor(name, role, GRID, tuple(shape), arrays, bits)


def up_to_row_maximum(name: str, w_RC: Tensor, bits: int) -> RowCodes:
    """Rounded to nearest, each row's largest magnitude on the last code. Raises NonFiniteWeight."""
    scale_R = row_scale(row_clip(w_RC, percentile=1.0), bits, "smallest_normal")
    check_scales(name, w_RC, scale_R)
    return RowCodes(quantize_rows(w_RC, scale_R, bits), scale_R)


def check_scales(name: str, weight: Tensor, scale: Tensor) -> None:
    """Raises NonFiniteWeight where a float16 scale overflowed."""
    if not bool(torch.isfinite(scale).all()):
        raise NonFiniteWeight(name, f"weights up to {float(weight.abs().max()):g} need a scale beyond float16")
