"""Bits by storage role, and by component where some deserve others.

Formula: matrices ``quant.bits``, or ``component_bits`` of their component; embeddings ``quant.embedding_bits``.
Source: the challenge's baseline; by component, PR #180 (MLP int5, attention int6, spec quant §2.3).
Cost in bytes: about an eighth of a byte per weight and bit; #180's rule saved 1.86 MB of 15.9.
Cost in step time: none.
When it hurts: #180 lost 0.008 bits per byte at equal depth, repaid by a tenth layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, NonNegativeInt
from pgolf.quant.policy.base import EmbeddingStorage, Policy
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo, check_components

PLACE = "quant.policy.component_bits"


class ByRole(Policy):
    """``quant/policy=by_role``."""

    def __init__(
        self,
        *,
        roles: Roles,
        component_bits: Mapping[str, int] | None,
        late_k_layers: NonNegativeInt,
        embedding: EmbeddingStorage,
        gate_bits: Annotated[int, Between(2, 8)] | None,
    ) -> None:
        super().__init__(roles=roles, late_k_layers=late_k_layers, embedding=embedding, gate_bits=gate_bits)
        self.component_bits = dict(component_bits or {})
        for component, bits in self.component_bits.items():
            if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
                raise ConfigError(f"{PLACE}.{component}: {bits!r} is no whole number from 2 to 8")

    def matrix_bits(self, matrices: Sequence[TensorInfo], evidence: Evidence | None) -> Mapping[str, int]:
        check_components(PLACE, list(self.component_bits), matrices)
        chosen = self.component_bits
        return {t.name: chosen[t.spec.component] for t in matrices if t.spec.component in chosen}
