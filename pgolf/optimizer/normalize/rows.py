"""Give every row the same say: MuonEq-R divides it by its norm before the matrix is orthogonalised.

Formula: ``u_r ← u_r / max(‖u_r‖₂, 1e-7)`` for each row of U, after Nesterov; ``O = NS(U)``.
Source: #1217, #1260, #1394 (about −0.001 bits per byte); spec optimizer §2.
Cost in bytes: none. Cost in step time: one pass over the matrices.
When it hurts: nowhere known; a row whose gradient is noise alone gets as much as the others.
"""

from __future__ import annotations

from torch import Tensor

from pgolf.optimizer.normalize.base import Normalizer


class RowNorms(Normalizer):
    """``optimizer/normalize=rows``."""

    def __init__(self) -> None:
        pass

    def before(self, u_KMN: Tensor) -> Tensor:
        return u_KMN / u_KMN.norm(dim=-1, keepdim=True).clamp_min(1e-7)
