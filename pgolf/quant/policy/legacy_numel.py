"""The number of elements decides what is quantized, as in published code, not the storage role.

Formula: more than numel · (width / 512)² elements: ``quant.bits``, tables ``quant.embedding_bits``, ``fp16_components``
    float16; otherwise float16, ``fp32_components`` float32. At the record's width of 512 that is ``numel`` itself.
Source: the challenge's baseline and its descendants, with 65,536 (spec quant §2.1, decisions 8); #187 keeps its tied
    embedding in float16. ``fp32_components`` stand for the baseline's name patterns (scales, residual mix, query gain,
    skip weights); from #414 on the element count is asked first and they are float16 too: []. That the number follows
    the width is ours: 65,536 elements are a quarter of a 512 by 512 matrix, and at width 160 would be every matrix.
Cost in bytes: matrices of up to so many elements at two bytes a weight; in #187 that is one projection.
Cost in step time: none.
When it hurts: whatever is small passes whatever it does, and what only its size puts on the grid is rounded to nearest
    under GPTQ too where calibration multiplies nothing with it. It exists to rebuild published artifacts; ``by_role``
    decides by what a tensor is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.ranges import Between, NonNegativeInt, PositiveInt
from pgolf.quant.policy.base import EmbeddingStorage, Policy
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo, Treatment

PLACE = "quant.policy"
PUBLISHED_WIDTH = 512


class LegacyNumel(Policy):
    """``quant/policy=legacy_numel``."""

    def __init__(
        self,
        *,
        roles: Roles,
        numel: NonNegativeInt,
        width: PositiveInt,
        fp16_components: Sequence[str],
        fp32_components: Sequence[str],
        late_k_layers: NonNegativeInt,
        embedding: EmbeddingStorage,
        gate_bits: Annotated[int, Between(2, 8)] | None,
    ) -> None:
        super().__init__(roles=roles, late_k_layers=late_k_layers, embedding=embedding, gate_bits=gate_bits)
        self.numel = numel * width**2 // PUBLISHED_WIDTH**2
        self.fp16_components, self.fp32_components = tuple(fp16_components), tuple(fp32_components)

    def matrix_bits(self, matrices: Sequence[TensorInfo], evidence: Evidence | None) -> Mapping[str, int]:
        return {}

    def treatments(self, tensors: Sequence[TensorInfo], evidence: Evidence | None) -> dict[str, Treatment]:
        """As every policy's, then by the number of elements. Raises ConfigError for components of no tensor."""
        self._check_components(tensors)
        by_role = super().treatments(tensors, evidence)
        return {t.name: self._by_size(t, by_role[t.name]) for t in tensors}

    def _by_size(self, tensor: TensorInfo, by_role: Treatment) -> Treatment:
        if by_role.to_row_maximum:  # a gate, which #1736 asks for before the element count
            return by_role
        component = tensor.spec.component
        if tensor.elements <= self.numel:
            return Treatment("fp32" if component in self.fp32_components else "fp16")
        if component in self.fp16_components:
            return Treatment("fp16")
        return Treatment("grid", self.roles.bits) if tensor.kept_by_role else by_role

    def _check_components(self, tensors: Sequence[TensorInfo]) -> None:
        known = sorted({t.spec.component for t in tensors})
        chosen = {"fp16_components": self.fp16_components, "fp32_components": self.fp32_components}
        for setting, components in chosen.items():
            for component in components:
                if component not in known:
                    raise ConfigError(
                        f"{PLACE}.{setting}: no tensor of component {component!r}; there are {', '.join(known)}."
                        f"{did_you_mean(component, known)}"
                    )
