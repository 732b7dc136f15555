"""Attention by PyTorch's fused ``scaled_dot_product_attention``: flash kernels on CPU and CUDA.

``y = softmax(q kᵀ / √K + causal) v``. Source: spec arch §2. Cost: no bytes beyond the four matrices.
Documents in a window see each other; context crosses BOS as in the public baseline.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.attention.layer import Attention
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveFloat, PositiveInt


class SDPA(Attention):
    def __init__(
        self,
        *,
        dims: Dims,
        rope_dims: PositiveInt | None,
        rope_base: PositiveFloat,
        rope_ref_len: PositiveInt,
        rope_ntk: bool,
        qk_gain: PositiveFloat,
    ) -> None:
        super().__init__(
            dims=dims,
            rope_dims=rope_dims,
            rope_base=rope_base,
            rope_ref_len=rope_ref_len,
            rope_ntk=rope_ntk,
            qk_gain=qk_gain,
        )

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
        grouped = self.kv_heads != self.heads
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped).transpose(1, 2)
