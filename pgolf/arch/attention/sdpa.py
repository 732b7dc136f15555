"""Attention by PyTorch's fused ``scaled_dot_product_attention``: flash kernels on CPU and CUDA.

``y = softmax(q kᵀ / √K + causal) v``. Source: the public baseline; spec arch §2.
Cost in bytes: none beyond the four matrices. Cost in step time: the fused kernel's; it grows with the square of
the window. On Hopper GPUs ``fa3`` is faster; to train on a CPU in bf16, ``blocked``.
Hurts: documents in a window see each other, as context crosses BOS in the public baseline; ``documents`` parts them.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.attention.base import Kernel


class SDPA(Kernel):
    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        return fused(q_BTHK, k_BTGK, v_BTGK)


def fused(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, mask_B1TT: Tensor | None = None) -> Tensor:
    """``softmax(q kᵀ / √K + mask) v``, causal where no mask is given; True lets a query see a key."""
    q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
    grouped = q.size(1) != k.size(1)
    causal = mask_B1TT is None
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_B1TT, is_causal=causal, enable_gqa=grouped)
    return y.transpose(1, 2)
