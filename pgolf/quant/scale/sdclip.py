"""The grid of a row ends at k of its standard deviations: k sets the bytes, the bits are only a ceiling.

Formula: s_r = fp16(k · std(W_r) / qmax), std unbiased, of the row as trained. k is ``component_k`` of the tensor's
    component where listed, ``embedding_k`` for embeddings, ``k`` for the other matrices.
Source: PR #1394 (k = 12.85, embedding 20); by role #1586 (MLP 12, attention 13) and #1855 (11.5, 13, embedding 14);
    spec quant §4.
Cost in bytes: a Gaussian row has about log2(qmax/k) + 2.047 bits a weight, so doubling k saves one bit, and (bits, k)
    nearly equals (bits + 1, 2k). int6 at k = 12.85: 3.33 bits. Artifacts vary by 6 kB over seeds where percentile
    scales vary by 121 kB.
Cost in step time: none.
When it hurts: k below 4 clips Gaussian rows, heavy-tailed ones sooner.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pgolf.core.ranges import PositiveFloat
from pgolf.quant.grid import row_scale
from pgolf.quant.scale.deviation import DeviationScale
from pgolf.quant.tensor_info import TensorInfo


class SDClip(DeviationScale):
    """``quant/scale=sdclip``."""

    has_k = True

    def __init__(
        self, *, k: PositiveFloat, component_k: Mapping[str, float] | None, embedding_k: PositiveFloat
    ) -> None:
        super().__init__(k=k, component_k=component_k, embedding_k=embedding_k)

    def candidates(self, w_RC: Tensor, bits: int, info: TensorInfo, hessian_CC: Tensor | None) -> list[Tensor]:
        return [row_scale(self.clip(w_RC, info), bits, "smallest_normal")]
