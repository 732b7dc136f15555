"""Attention on a CPU in blocks of queries: two matrix products and a softmax over the keys up to each block's end.

Shapes: B batch, T time, H query heads, G key/value heads, R query heads of a group (H/G), K head size; N = B·G,
Q rows of a block (its positions, R rows each), E keys up to the block's end.

``P_NQE = softmax(q kᵀ / √K + bias)``, ``y_NQK = P v``, block by block; the bias is −∞ where a query may not see a
key. No tensor holds all pairs of positions, and keys after a block cost nothing. The heads of a group are rows of
one product, so keys and values are never repeated. The softmax sums in fp32 whatever its dtype; in bf16 the scores
are rounded before it (to 1/256 of their size), which the fused kernel spares them.
Source: blocks of queries as in FlashAttention (arXiv 2205.14135), without its running softmax over blocks of keys.
Cost in bytes: none beyond the four matrices. Cost in step time: training in bf16 in windows of up to 512 positions,
this part takes 0.55–0.75 of the fused kernel's time compiled and 0.85 eager (a Xeon with AMX), the step of a
laptop-sized model 0.90. The backward pass keeps the blocks' probabilities, B·H·T·(T + block)/2 numbers a layer.
Hurts: the fused kernel of ``sdpa`` is faster in windows of 1,024 (this one is 0.7–0.9 as fast), in forward passes alone
(0.5–0.9) and, slightly, in fp32; on a GPU nothing was measured. ``pgolf bench attention`` measures it where it runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pgolf.arch.attention.base import Kernel
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveInt

BIASES = "attention.biases"


class Blocked(Kernel):
    """``block`` is the number of positions whose queries go together."""

    def __init__(self, *, dims: Dims, block: PositiveInt) -> None:
        super().__init__(dims=dims)
        self.block = block

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        shared = context.shared
        if BIASES not in shared:
            shared[BIASES] = tuple(biases(q_BTHK, k_BTGK.size(2), self.block))
        return blocked(q_BTHK, k_BTGK, v_BTGK, shared[BIASES])


def biases(
    q_BTHK: Tensor, groups: int, block: int, document_BT: Tensor | None = None, reach: int | None = None
) -> Iterator[Tensor]:
    """0 where a query may see a key, −∞ where not: [Q, E] for each block of queries, [N, Q, E] given documents.

    A key may be seen from its own position on and, where ``document_BT`` is given, from within its document. No
    document may have more than ``reach`` positions: keys further back than that are left out.
    """
    length, heads, device = q_BTHK.size(1), q_BTHK.size(2), q_BTHK.device
    position_T = torch.arange(length, device=device)
    for start in range(0, length, block):
        end, low = min(start + block, length), first_key(start, reach)
        hidden = position_T[low:end] > position_T[start:end, None]
        if document_BT is not None:
            other_BQE = document_BT[:, start:end, None] != document_BT[:, None, low:end]
            hidden = (hidden | other_BQE).repeat_interleave(groups, 0)
        zeros = torch.zeros(hidden.shape, dtype=product_dtype(q_BTHK), device=device)
        yield zeros.masked_fill(hidden, -math.inf).repeat_interleave(heads // groups, -2)


def first_key(start: int, reach: int | None) -> int:
    """The first that a block of queries from ``start`` on may see."""
    return 0 if reach is None else max(0, start + 1 - reach)


def blocked(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, biases_QE: Sequence[Tensor], reach: int | None = None
) -> Tensor:
    """``softmax(q kᵀ / √K + bias) v`` in the dtype of products, a block for each of the ``biases``."""
    batch, length, heads, width = q_BTHK.shape
    groups = k_BTGK.size(2)
    q_NSK, k_NTK, v_NTK = (_rows(x.to(product_dtype(x)), groups) for x in (q_BTHK, k_BTGK, v_BTGK))
    found, first = [], 0
    for bias_QE in biases_QE:
        rows, keys = bias_QE.shape[-2:]
        low = first_key(first * groups // heads, reach)
        q_NQK = q_NSK[:, first : first + rows]
        scores_NQE = torch.baddbmm(bias_QE, q_NQK, k_NTK[:, low : low + keys].transpose(1, 2), alpha=width**-0.5)
        found.append(torch.bmm(scores_NQE.softmax(-1, dtype=q_NQK.dtype), v_NTK[:, low : low + keys]))
        first += rows
    y_BGSK = torch.cat(found, 1).view(batch, groups, length * heads // groups, width)
    y_BGTRK = y_BGSK.view(batch, groups, length, heads // groups, width)
    return y_BGTRK.transpose(1, 2).reshape(batch, length, heads, width)


def _rows(x_BTHK: Tensor, groups: int) -> Tensor:
    """The heads of a group one after another at each position, [N, T·R, K]; a view where there is one group."""
    batch, length, heads, width = x_BTHK.shape
    x_BTGRK = x_BTHK.reshape(batch, length, groups, heads // groups, width)
    return x_BTGRK.transpose(1, 2).reshape(batch * groups, length * heads // groups, width)


def product_dtype(x: Tensor) -> torch.dtype:
    """What autocast multiplies ``x`` in; its own dtype outside."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def pays(q_BTHK: Tensor, longest: int) -> bool:
    """Whether ``blocked`` was measured to beat PyTorch's fused kernel: training a CPU in bf16, in short windows."""
    trains = torch.is_grad_enabled() and q_BTHK.requires_grad
    in_bf16 = q_BTHK.device.type == "cpu" and product_dtype(q_BTHK) == torch.bfloat16
    return trains and in_bf16 and q_BTHK.size(1) <= longest
