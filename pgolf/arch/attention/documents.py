"""Attention inside documents only: a window holds several, and none sees another.

``y_i = Σ_{j ≤ i, doc(j) = doc(i)} softmax(q kᵀ / √K)_ij v_j`` with ``doc(t)`` the number of BOS tokens up to t; a
window that starts inside a document starts a segment. Rotary positions run on through the window, which attention
cannot tell from restarting, as it knows distances only.
Source: variable-length attention, #1530 onward (about 2 % faster, 0.001 nats); spec arch §6.
Cost in bytes: none. Cost in step time: ``kernel: mask`` passes a T × T mask to PyTorch's fused attention and works
everywhere, at about the cost of full attention; ``blocked`` is that kernel with the mask in its bias; ``auto`` chooses
between the two as the option ``auto`` does; ``flex`` skips the blocks between documents, on CUDA.
Hurts: a model never learns from the end of the document before, and with documents longer than the window it
changes nothing. Techniques that mix neighbours (bigram_hash, smear_gate) need their BOS mask for true isolation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from pgolf.arch.attention.base import Kernel
from pgolf.arch.attention.blocked import biases, blocked, pays
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveInt


class Documents(Kernel):
    """``kernel`` decides how the mask is applied; ``flex`` trains on CUDA only."""

    def __init__(
        self,
        *,
        dims: Dims,
        kernel: Literal["auto", "mask", "blocked", "flex"],
        block: PositiveInt,
        blocked_up_to: PositiveInt,
    ) -> None:
        super().__init__(dims=dims)
        self.kernel, self.block, self.blocked_up_to = kernel, block, blocked_up_to
        if kernel == "flex":
            self.trains_on = ("cuda",)

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        kernel = self.kernel
        if kernel == "auto":
            kernel = "blocked" if pays(q_BTHK, self.blocked_up_to) else "mask"
        mask = f"attention.documents_{kernel}"
        if mask not in context.shared:
            document_BT = document_index(context.ids_BT, self.dims.bos_id)
            if kernel == "mask":
                context.shared[mask] = document_mask(document_BT)
            elif kernel == "blocked":
                context.shared[mask] = tuple(biases(q_BTHK, k_BTGK.size(2), self.block, document_BT))
            else:
                context.shared[mask] = block_mask(document_BT)
        return _run(kernel)(q_BTHK, k_BTGK, v_BTGK, context.shared[mask])

    def visible(self, ids_BT: Tensor, count: int) -> Tensor:
        document_BT = document_index(ids_BT, self.dims.bos_id)
        same_BNT = document_BT[:, -count:, None] == document_BT[:, None, :]
        return same_BNT & super().visible(ids_BT, count)


def _run(kernel: str) -> Callable[..., Tensor]:
    """The function behind a word; flex_attention is imported by whoever asks for it."""
    if kernel == "flex":
        from pgolf.arch.attention.flex import flexible

        return flexible
    return fused if kernel == "mask" else blocked


def document_index(ids_BT: Tensor, bos_id: int) -> Tensor:
    """Which document of its window each token belongs to, int64 [B, T]; a BOS opens the next."""
    return (ids_BT == bos_id).cumsum(1)


def document_mask(document_BT: Tensor) -> Tensor:
    """True [B, 1, T, T] where a query (row) may see a key: same document, not later."""
    same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    return (same_BTT & torch.ones_like(same_BTT[0]).tril())[:, None]


def block_mask(document_BT: Tensor) -> Any:
    """The same as ``flex_attention`` takes it."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (document_BT[batch, query] == document_BT[batch, key])

    batch, length = document_BT.shape
    return create_block_mask(sees, batch, None, length, length, device=document_BT.device)
