"""The matrices of the last layers get more bits than the others.

Formula: ``last_bits`` where layer ≥ L − last, ``quant.bits`` elsewhere.
Source: PRs #606, #687, whose ``int6_last_n`` gives the last n blocks int6 and the others int5 (spec quant §2.3).
Cost in bytes: about an eighth of a byte per promoted weight; n = 2 → 0 saved #687 300 kB.
Cost in step time: none.
When it hurts: the last layers are not the most sensitive ones (early blocks are, 30 to 1: spec quant §4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, NonNegativeInt, PositiveInt
from pgolf.quant.policy.base import EmbeddingStorage, Policy, check_promoted
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo


class Int6LastN(Policy):
    """``quant/policy=int6_last_n``."""

    def __init__(
        self,
        *,
        roles: Roles,
        last: PositiveInt,
        last_bits: Annotated[int, Between(2, 8)],
        late_k_layers: NonNegativeInt,
        embedding: EmbeddingStorage,
        gate_bits: Annotated[int, Between(2, 8)] | None,
    ) -> None:
        super().__init__(roles=roles, late_k_layers=late_k_layers, embedding=embedding, gate_bits=gate_bits)
        check_promoted("quant.policy.last_bits", last_bits, roles)
        self.last, self.last_bits = last, last_bits

    def matrix_bits(self, matrices: Sequence[TensorInfo], evidence: Evidence | None) -> Mapping[str, int]:
        layers = matrices[0].layers if matrices else 0
        if self.last > layers:
            raise ConfigError(f"quant.policy.last: {self.last} of {layers} layers; at most {layers}")
        late = [t for t in matrices if t.layer is not None and t.layer >= layers - self.last]
        return {t.name: self.last_bits for t in late}
