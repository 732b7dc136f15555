"""Give back the low-rank part of the errors that the layers' outputs feel most, on a fair grid.

Formula: E = W - What, H = sum x x^T; the ``top_k`` matrices of largest tr(E H E^T), the squared error at the output.
    Each gets left, right minimising ||(E - left @ right) H^(1/2)||: left = the first ``rank`` left singular vectors of
    E H^(1/2), right = left^+ E; both on the symmetric grid (q + 1/2) s, a scale per column of left and row of right.
    Then one factor after the other is fitted anew to the other as it was rounded, ``passes`` times.
Source: LQER (Zhang et al. 2024), its L2QER form with the full Hessian; named as untested in spec quant 5.
Cost in bytes: rank * (R * left_bits + C * right_bits) / 8 and 4 * rank for scales, before compression.
Cost in step time: none; an eigenvalue and a singular value decomposition per corrected matrix at the end.
When it hurts: it fits calibration data, so too little of that misleads it. A correction that does not lower its
    matrix's output error is dropped; matrices without a Hessian are left alone.
"""

# R rows, C columns, K rank

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, PositiveInt
from pgolf.core.results import QuantizedState, StoredTensor
from pgolf.quant.correction.residual import (
    Residual,
    largest,
    residuals,
    value_of,
    widest,
    with_factors,
    with_settled_signs,
)
from pgolf.quant.entropy import SCALE_BYTES
from pgolf.quant.schemes.half import quantize_half
from pgolf.quant.stored import MAX_RANK
from pgolf.quant.tensor_info import TensorInfo


class LQERWeighted:
    """``quant/correction=lqer_weighted``."""

    needs_hessians = True

    def __init__(
        self,
        *,
        top_k: PositiveInt,
        rank: Annotated[int, Between(1, MAX_RANK)],
        left_bits: Annotated[int, Between(1, 8)],
        right_bits: Annotated[int, Between(1, 8)],
        passes: PositiveInt,
    ) -> None:
        self.top_k = top_k
        self.rank = rank
        self.left_bits = left_bits
        self.right_bits = right_bits
        self.passes = passes

    def correct(
        self, weights: Mapping[str, Tensor], state: QuantizedState, hessians: Mapping[str, Tensor] | None
    ) -> QuantizedState:
        """Raises ConfigError without Hessians, UnknownTensor for missing weights, BadHessian for one that does not
        fit."""
        if not hessians:
            raise ConfigError(
                "quant.correction: lqer_weighted weighs errors by the Hessians of calibration, and there are none; "
                "use it with a quantizer that calibrates (gptq), or use lqer"
            )
        found = [r for r in residuals(weights, state, hessians, self.rank) if r.hessian_CC is not None]
        worst = largest(found, self.top_k, lambda residual: residual.loss(residual.error_RC))
        return with_factors(state, [(residual, self._factors(residual)) for residual in worst])

    def forecast_bytes(self, tensors: Sequence[TensorInfo]) -> float:
        """Of Gaussian factors: the uniform grid of least error leaves about nine tenths of its bits."""
        size = 0.0
        for rows, columns in widest(tensors, self.top_k, self.rank):
            for lines, bits in ((rows, self.left_bits), (columns, self.right_bits)):
                size += self.rank * (lines * 0.9 * bits / 8 + SCALE_BYTES)
        return size

    def _factors(self, residual: Residual) -> tuple[StoredTensor, StoredTensor]:
        assert residual.hessian_CC is not None
        error_RC, hessian_CC = residual.error_RC.to(torch.float64), residual.hessian_CC.to(torch.float64)
        left_RK = _first_directions(error_RC, hessian_CC, self.rank)
        tried = []
        for _ in range(self.passes):
            left = residual.left(
                "half_columns", self.left_bits, *quantize_half(left_RK, self.left_bits, "half_columns")
            )
            left_RK = value_of(left).to(error_RC)
            right_KC = torch.linalg.pinv(left_RK.T @ left_RK, hermitian=True) @ (left_RK.T @ error_RC)
            right = residual.right("half_rows", self.right_bits, *quantize_half(right_KC, self.right_bits, "half_rows"))
            tried.append((left, right))
            right_KC = value_of(right).to(error_RC)
            weighted_CK = hessian_CC @ right_KC.T
            left_RK = error_RC @ weighted_CK @ torch.linalg.pinv(right_KC @ weighted_CK, hermitian=True)
        return min(tried, key=residual.loss_after)


def _first_directions(error_RC: Tensor, hessian_CC: Tensor, rank: int) -> Tensor:
    """The first left singular vectors of E H^(1/2), each times the root of its singular value: [R, K]."""
    eigenvalue_C, eigenvector_CC = torch.linalg.eigh(hessian_CC)
    root_CC = eigenvector_CC * eigenvalue_C.clamp_min(0).sqrt()
    u_RC, s_C, _ = torch.linalg.svd(error_RC @ root_CC, full_matrices=False)
    left_RK = u_RC[:, :rank] * s_C[:rank].sqrt()
    return with_settled_signs(left_RK, left_RK.T)[0]
