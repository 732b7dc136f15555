"""The matrices where one more bit saves most error per byte get it, until a share of the bytes is spent.

Formula: gain = (tr(E_b H E_bᵀ) − tr(E_p H E_pᵀ)) / (bytes_p − bytes_b), E_b = W − What at ``quant.bits`` and E_p at
    ``promoted_bits``, both rounded to nearest; bytes by entropy, not by raw bits. Greedy by gain, then by name,
    within ``byte_share`` of what promoting every matrix would add.
Source: spec quant §2.3, as the better form of #1204's trace rule; that raw bits mislead is #1935's finding.
Cost in bytes: ``byte_share`` of an eighth of a byte per weight and bit.
Cost in step time: none; two roundings of every matrix at the end.
When it hurts: gains are taken one matrix at a time, as if their errors did not meet further up. Under SDClip one
    bit more is half the step, so a k per role reaches the same with fewer parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated

from pgolf.core.ranges import Between, Fraction, NonNegativeInt
from pgolf.quant.policy.base import EmbeddingStorage, Policy, check_promoted
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo


class ErrorPerByte(Policy):
    """``quant/policy=error_per_byte``."""

    needs_hessians = True

    def __init__(
        self,
        *,
        roles: Roles,
        byte_share: Fraction,
        promoted_bits: Annotated[int, Between(2, 8)],
        late_k_layers: NonNegativeInt,
        embedding: EmbeddingStorage,
        gate_bits: Annotated[int, Between(2, 8)] | None,
    ) -> None:
        super().__init__(roles=roles, late_k_layers=late_k_layers, embedding=embedding, gate_bits=gate_bits)
        check_promoted("quant.policy.promoted_bits", promoted_bits, roles)
        self.byte_share, self.promoted_bits = byte_share, promoted_bits

    def matrix_bits(self, matrices: Sequence[TensorInfo], evidence: Evidence | None) -> Mapping[str, int]:
        costs = {t.name: self._cost(t, evidence) for t in matrices}
        gains = {t.name: self._saved(t, evidence) / max(1.0, costs[t.name]) for t in matrices}
        left = self.byte_share * sum(costs.values())
        promoted: dict[str, int] = {}
        for tensor in sorted(matrices, key=lambda t: (-gains[t.name], t.name)):
            if costs[tensor.name] <= left:
                promoted[tensor.name] = self.promoted_bits
                left -= costs[tensor.name]
        return promoted

    def _cost(self, tensor: TensorInfo, evidence: Evidence | None) -> float:
        """Bytes that the promotion adds; before training, as the Gaussian law has it: a bit is a bit."""
        low, high = self.roles.bits, self.promoted_bits
        if evidence is None:
            return prod(tensor.shape) * (high - low) / 8
        return evidence.bytes(tensor.name, high) - evidence.bytes(tensor.name, low)

    def _saved(self, tensor: TensorInfo, evidence: Evidence | None) -> float:
        if evidence is None:
            return 0.0
        return evidence.error(tensor.name, self.roles.bits) - evidence.error(tensor.name, self.promoted_bits)
