"""The matrices whose inputs are largest get more bits: a share of them, by the trace of their Hessian.

Formula: score = tr(H), 0 for a matrix without one; matrices of ``first_layers`` go before all others, then by
    score, then by name; round(share · n) of the n matrices are promoted.
Source: PR #1204, which promotes 32 of 67 from int5 to int6, those of its recurrent layers first; its traces have
    the damping in them (spec quant §2.3).
Cost in bytes: about an eighth of a byte per promoted weight and bit.
Cost in step time: none.
When it hurts: the trace knows nothing of how large the rounding error is, and grows with the number of columns;
    ``error_per_byte`` measures both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, Fraction, NonNegativeInt
from pgolf.quant.policy.base import EmbeddingStorage, Policy, check_promoted
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo


class Trace(Policy):
    """``quant/policy=trace``."""

    needs_hessians = True

    def __init__(
        self,
        *,
        roles: Roles,
        share: Fraction,
        promoted_bits: Annotated[int, Between(2, 8)],
        first_layers: Sequence[int],
        late_k_layers: NonNegativeInt,
        embedding: EmbeddingStorage,
        gate_bits: Annotated[int, Between(2, 8)] | None,
    ) -> None:
        super().__init__(roles=roles, late_k_layers=late_k_layers, embedding=embedding, gate_bits=gate_bits)
        check_promoted("quant.policy.promoted_bits", promoted_bits, roles)
        self.share, self.promoted_bits, self.first_layers = share, promoted_bits, tuple(first_layers)

    def matrix_bits(self, matrices: Sequence[TensorInfo], evidence: Evidence | None) -> Mapping[str, int]:
        layers = matrices[0].layers if matrices else 0
        outside = [i for i in self.first_layers if not 0 <= i < layers]
        if outside:
            raise ConfigError(f"quant.policy.first_layers: {outside} out of range; the layers are 0..{layers - 1}")

        def rank(tensor: TensorInfo) -> tuple[bool, float, str]:
            hessian = evidence.hessians.get(tensor.name) if evidence else None
            trace = 0.0 if hessian is None else float(hessian.diagonal().double().sum())
            return tensor.layer not in self.first_layers, -trace, tensor.name

        ranked = sorted(matrices, key=rank)
        return {t.name: self.promoted_bits for t in ranked[: round(self.share * len(ranked))]}
