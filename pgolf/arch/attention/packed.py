"""Attention over rows of documents, each parted into segments: what ``loader=documents`` trains with.

``y_i = Σ_{j ≤ i, s(j) = s(i)} softmax(q kᵀ / √K)_ij v_j``. A segment begins at the row's start, at every BOS and, in
training, after every ``longest`` positions of a document: with b(t) the last BOS up to t (0 where there is none), it
is ``s(t) = t − (t − b(t)) mod longest``. These are the row's cumulative lengths, which the published kernels are
handed as a list; here each position has its segment's first place, a tensor of one shape for any number of documents.
Rotary positions run on through the row, as published: attention knows distances only. An evaluation's window is cut
at BOS alone, as in ``documents``.
Source: variable-length attention, #1530 onward; spec data §4.4.
Cost in bytes: none. Cost in step time: ``kernel: blocked`` takes, for each block of queries, ``longest`` keys before
it, whatever the row's length: about (longest + block) / (T + block) · 2 times the pairs of windows of T. ``flex``, on
CUDA, skips what lies between segments; ``auto`` is that there and ``blocked`` elsewhere. Hurts: as ``documents``; and
rows longer than ``longest`` alone gain by it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from pgolf.arch.attention.base import Kernel
from pgolf.arch.attention.blocked import biases, blocked
from pgolf.arch.attention.documents import block_mask, document_index, document_mask
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveInt

_SHARED = "attention.packed"


class Segments(Kernel):
    """``kernel`` is that of training; an evaluation's windows are short and take ``documents``' mask."""

    takes_rows = True

    def __init__(
        self, *, dims: Dims, kernel: Literal["auto", "blocked", "flex"], longest: PositiveInt, block: PositiveInt
    ) -> None:
        super().__init__(dims=dims)
        self.kernel, self.longest, self.block = kernel, longest, block
        if kernel == "flex":
            self.trains_on = ("cuda",)

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        shared, bos_id = context.shared, self.dims.bos_id
        if context.targets_BT is None:
            if _SHARED not in shared:
                shared[_SHARED] = document_mask(document_index(context.ids_BT, bos_id))
            return fused(q_BTHK, k_BTGK, v_BTGK, shared[_SHARED])
        flex = self.kernel == "flex" or (self.kernel == "auto" and q_BTHK.is_cuda)
        if _SHARED not in shared:
            segment_BT = segment_starts(context.ids_BT, bos_id, self.longest)
            if flex:
                shared[_SHARED] = block_mask(segment_BT)
            else:
                shared[_SHARED] = tuple(biases(q_BTHK, k_BTGK.size(2), self.block, segment_BT, self.longest))
        if flex:
            from pgolf.arch.attention.flex import flexible

            return flexible(q_BTHK, k_BTGK, v_BTGK, shared[_SHARED])
        return blocked(q_BTHK, k_BTGK, v_BTGK, shared[_SHARED], self.longest)

    def visible(self, ids_BT: Tensor, count: int) -> Tensor:
        document_BT = document_index(ids_BT, self.dims.bos_id)
        same_BNT = document_BT[:, -count:, None] == document_BT[:, None, :]
        return same_BNT & super().visible(ids_BT, count)


def segment_starts(ids_BT: Tensor, bos_id: int, longest: int) -> Tensor:
    """The first position of the segment that each position is in, int64 [B, T]."""
    place_T = torch.arange(ids_BT.size(1), device=ids_BT.device)
    bos_BT = torch.where(ids_BT == bos_id, place_T, 0).cummax(1).values
    return place_T - (place_T - bos_BT) % longest
