"""Attention by PyTorch's ``flex_attention``: a kernel compiled for its mask, which skips blocks of nothing.

``y = softmax(q kᵀ / √K + mask) v``. Source: the FlexAttention paper (arXiv 2412.05496); spec arch §2 for the
formula. Cost in bytes: none beyond the four matrices. Cost in step time: that of the fused kernel for a plain
causal mask; less where a mask has empty blocks (``documents``).
Hurts on a CPU: PyTorch has no backward pass for it there, so training is refused; a forward pass runs, unfused.

The mask is made once per forward pass and left in ``context.shared`` for all layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from pgolf.arch.attention.base import Kernel
from pgolf.core.errors import ConfigError

MASK = "attention.flex_mask"


class Flex(Kernel):
    trains_on = ("cuda",)

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        if MASK not in context.shared:
            context.shared[MASK] = causal_mask(q_BTHK.size(1), q_BTHK.device)
        return flexible(q_BTHK, k_BTGK, v_BTGK, context.shared[MASK])


def causal_mask(length: int, device: torch.device) -> BlockMask:
    """Each position sees itself and what came before."""

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return query >= key

    return create_block_mask(sees, None, None, length, length, device=device)


def flexible(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, mask: BlockMask) -> Tensor:
    """``softmax(q kᵀ / √K + mask) v``; raises ConfigError where a gradient would be needed on a CPU."""
    on_cpu = q_BTHK.device.type == "cpu"
    if on_cpu and torch.is_grad_enabled() and q_BTHK.requires_grad:
        raise ConfigError(
            "arch.attention: flex_attention has no backward pass on a CPU; train on CUDA, or with "
            "arch/attention=auto (arch.attention.kernel=auto for documents), which computes the same"
        )
    q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
    kernel: Any = flex_attention if on_cpu or torch.compiler.is_compiling() else _compiled()
    return kernel(q, k, v, block_mask=mask, enable_gqa=q.size(1) != k.size(1)).transpose(1, 2)


@cache
def _compiled() -> Callable[..., Any]:
    """The fused kernel for models that are not compiled as a whole."""
    return torch.compile(flex_attention, dynamic=False)
