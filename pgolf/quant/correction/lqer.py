"""Give the matrices with the largest errors a low-rank part of them back, as published.

Formula: E = W - What, ranked by ||E||_F; of the ``top_k`` largest E = U S V^T cut at ``rank``; left = U S on the
    int2 grid {-2..1} with one scale max/1.5, right = V^T on {-8..7} with a scale max/7.5 per 64 elements;
    What += left @ right. Where 64 does not divide right, both factors are int4 on {-7..7}, a scale per row.
Source: LQER (Zhang et al. 2024); PR #1797 (rank 4, 3 tensors: 0.009 bits per byte claimed for 30 KB), PR #1855.
Cost in bytes: rank * (R / 4 + C / 2) before compression and the right's scales, C * rank / 32.
Cost in step time: none; a singular value decomposition per corrected matrix at the end.
When it hurts: the error of rounding is nearly white, so ``rank`` of C directions hold little of it, and the left grid
    is biased (decisions 16). A correction that does not lower its matrix's error (at the layer's output where there
    is calibration data) is dropped.
"""

# R rows, C columns, K rank

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from pgolf.core.ranges import Between, PositiveInt
from pgolf.core.results import QuantizedState, StoredTensor
from pgolf.quant.correction.residual import (
    Residual,
    largest,
    residuals,
    widest,
    with_factors,
    with_settled_signs,
)
from pgolf.quant.entropy import SCALE_BYTES
from pgolf.quant.forecast import gaussian_bits, row_maximum_sigmas
from pgolf.quant.grid import quantize_rows, row_scale
from pgolf.quant.schemes.asym import ASYM_GROUP, quantize_asym
from pgolf.quant.stored import MAX_RANK
from pgolf.quant.tensor_info import TensorInfo

FALLBACK_BITS = 4


class LQER:
    """``quant/correction=lqer``."""

    needs_hessians = False

    def __init__(
        self,
        *,
        top_k: PositiveInt,
        rank: Annotated[int, Between(1, MAX_RANK)],
        left_bits: Annotated[int, Between(2, 8)],
        right_bits: Annotated[int, Between(2, 8)],
    ) -> None:
        self.top_k = top_k
        self.rank = rank
        self.left_bits = left_bits
        self.right_bits = right_bits

    def correct(
        self, weights: Mapping[str, Tensor], state: QuantizedState, hessians: Mapping[str, Tensor] | None
    ) -> QuantizedState:
        """Raises UnknownTensor for missing weights, BadHessian for one that does not fit."""
        found = residuals(weights, state, hessians or {}, self.rank)
        worst = largest(found, self.top_k, lambda residual: float(residual.error_RC.norm()))
        return with_factors(state, [(residual, self._factors(residual)) for residual in worst])

    def forecast_bytes(self, tensors: Sequence[TensorInfo]) -> float:
        """Of Gaussian factors; what the grid of ``left`` takes follows the largest of all its elements."""
        size = 0.0
        for rows, columns in widest(tensors, self.top_k, self.rank):
            left, right = rows * self.rank, columns * self.rank
            top_left, top_right = 1 << (self.left_bits - 1), 1 << (self.right_bits - 1)
            size += left * gaussian_bits(row_maximum_sigmas(left) / (top_left - 0.5), top_left) / 8
            size += right * gaussian_bits(row_maximum_sigmas(ASYM_GROUP) / (top_right - 0.5), top_right) / 8
            size += SCALE_BYTES * (1 + right / ASYM_GROUP)
        return size

    def _factors(self, residual: Residual) -> tuple[StoredTensor, StoredTensor]:
        u_RC, s_C, vt_CC = torch.linalg.svd(residual.error_RC.to(torch.float64), full_matrices=False)
        left_RK, right_KC = with_settled_signs(u_RC[:, : self.rank] * s_C[: self.rank], vt_CC[: self.rank])
        if right_KC.numel() % ASYM_GROUP:
            return (
                residual.left("grid", FALLBACK_BITS, *_per_row(left_RK)),
                residual.right("grid", FALLBACK_BITS, *_per_row(right_KC)),
            )
        return (
            residual.left("asym", self.left_bits, *quantize_asym(left_RK, self.left_bits, None)),
            residual.right("asym64", self.right_bits, *quantize_asym(right_KC, self.right_bits, ASYM_GROUP)),
        )


def _per_row(w_RC: Tensor) -> tuple[Tensor, Tensor]:
    scale_R = row_scale(w_RC.abs().amax(dim=1), FALLBACK_BITS, "smallest_normal")
    return quantize_rows(w_RC.to(torch.float32), scale_R, FALLBACK_BITS), scale_R
