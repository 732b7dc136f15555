"""Attention inside documents only: a window holds several, and none sees another.

``y_i = Σ_{j ≤ i, doc(j) = doc(i)} softmax(q kᵀ / √K)_ij v_j`` with ``doc(t)`` the number of BOS tokens up to t; a
window that starts inside a document starts a segment. Rotary positions run on through the window, which attention
cannot tell from restarting, as it knows distances only.
Source: variable-length attention, #1530 onward (about 2 % faster, 0.001 nats); spec arch §6.
Cost in bytes: none. Cost in step time: ``kernel: mask`` passes a T × T mask to PyTorch's fused attention and works
everywhere, at about the cost of full attention; ``kernel: flex`` skips the blocks between documents, on CUDA.
Hurts: a model never learns from the end of the document before, and with documents longer than the window it
changes nothing. Techniques that mix neighbours (bigram_hash, smear_gate) need their BOS mask for true isolation.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from pgolf.arch.attention.layer import Attention
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveFloat, PositiveInt

MASK = "attention.documents_mask"


class Documents(Attention):
    """``kernel: mask`` runs everywhere; ``flex`` trains on CUDA only."""

    bos_id: int

    def __init__(
        self,
        *,
        dims: Dims,
        rope_dims: PositiveInt | None,
        rope_base: PositiveFloat,
        rope_ref_len: PositiveInt,
        rope_ntk: bool,
        qk_gain: PositiveFloat,
        kernel: Literal["mask", "flex"],
    ) -> None:
        super().__init__(
            dims=dims,
            rope_dims=rope_dims,
            rope_base=rope_base,
            rope_ref_len=rope_ref_len,
            rope_ntk=rope_ntk,
            qk_gain=qk_gain,
        )
        self.bos_id, self.kernel = dims.bos_id, kernel

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        shared = context.shared
        if self.kernel == "mask":
            if MASK not in shared:
                shared[MASK] = document_mask(document_index(context.ids_BT, self.bos_id))
            return fused(q_BTHK, k_BTGK, v_BTGK, shared[MASK])
        from pgolf.arch.attention.flex import flexible

        if MASK not in shared:
            shared[MASK] = _block_mask(document_index(context.ids_BT, self.bos_id))
        return flexible(q_BTHK, k_BTGK, v_BTGK, shared[MASK])


def document_index(ids_BT: Tensor, bos_id: int) -> Tensor:
    """Which document of its window each token belongs to, int64 [B, T]; a BOS opens the next."""
    return (ids_BT == bos_id).cumsum(1)


def document_mask(document_BT: Tensor) -> Tensor:
    """True [B, 1, T, T] where a query (row) may see a key: same document, not later."""
    same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    return (same_BTT & torch.ones_like(same_BTT[0]).tril())[:, None]


def _block_mask(document_BT: Tensor) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (document_BT[batch, query] == document_BT[batch, key])

    batch, length = document_BT.shape
    return create_block_mask(sees, batch, None, length, length, device=document_BT.device)
