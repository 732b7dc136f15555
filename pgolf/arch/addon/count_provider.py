"""Exact n-gram counts from the tokens a batch has already shown: what the routing head trains against.

Shapes: B rows, T time, K orders, N = B·T positions in reading order (row after row).

At position i, order k looks at the k−1 tokens before the target, within the row. Of all earlier positions
j < i with the same k−1 tokens, ``total`` counts all, ``count`` those with the same target and ``distinct`` their
different targets; a row too short for the order has none. Nothing at or after i enters, its own target only
through ``count``.
``P_k = (count + distinct·P_{k−1}) / (total + distinct)``, P_1 given; P_k = P_{k−1} where total is 0
(Witten–Bell, interpolated; spec ngram §9.3). Summed over all targets each P_k is 1 if P_1 is.
Source: spec arch §10.4, ngram §9. Exact: contexts are compared, not hashed.
Cost: no bytes; two sorts of N integers per order and training step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def _starts(sorted_N: Tensor) -> Tensor:
    """Whether each element of a sorted vector differs from the one before it; the first one does."""
    different = torch.ones_like(sorted_N, dtype=torch.bool)
    different[1:] = sorted_N[1:] != sorted_N[:-1]
    return different


def _group_start(starts_N: Tensor) -> Tensor:
    """The index at which the group of each element of a sorted vector begins."""
    index = torch.arange(starts_N.numel(), device=starts_N.device)
    return torch.where(starts_N, index, 0).cummax(0).values


@torch.library.custom_op("pgolf::preceding_counts", mutates_args=())
def preceding_counts(ids_BT: Tensor, targets_BT: Tensor, highest: int) -> Tensor:
    """``count, total, distinct`` of the orders 2 … ``highest``: int64 [3, K, B, T]."""
    (batch, time), tokens, device = ids_BT.shape, ids_BT.numel(), ids_BT.device
    ids_N, targets_N = ids_BT.reshape(-1).long(), targets_BT.reshape(-1).long()
    words = torch.maximum(ids_N.max(), targets_N.max()) + 1
    index = torch.arange(tokens, device=device)
    place = index % time
    found = torch.zeros(3, highest - 1, tokens, dtype=torch.int64, device=device)
    context_N = torch.zeros_like(ids_N)  # names the last k−1 tokens by 0 … N−1: equal names, equal tokens
    for k in range(2, highest + 1):
        long_enough = place >= k - 2
        key_N = torch.where(long_enough, context_N.roll(1) * words + ids_N, -1)
        sorted_key, by_context = key_N.sort(stable=True)
        starts = _starts(sorted_key)
        begin = _group_start(starts)
        context_N = torch.empty_like(key_N).scatter_(0, by_context, starts.cumsum(0) - 1)
        sorted_pair, by_pair = (context_N * words + targets_N).sort(stable=True)
        count_N = torch.empty_like(key_N).scatter_(0, by_pair, index - _group_start(_starts(sorted_pair)))
        new = (count_N == 0).long()[by_context]
        before = new.cumsum(0) - new
        count, total, distinct = found[:, k - 2]
        count.copy_(count_N)
        total.scatter_(0, by_context, index - begin)
        distinct.scatter_(0, by_context, before - before[begin])
        found[:, k - 2] *= long_enough
    return found.view(3, highest - 1, batch, time)


@preceding_counts.register_fake
def _(ids_BT: Tensor, targets_BT: Tensor, highest: int) -> Tensor:
    return ids_BT.new_empty((3, highest - 1, *ids_BT.shape), dtype=torch.int64)


def witten_bell(p_BT: Tensor, counts: Tensor, orders: Sequence[int]) -> tuple[Tensor, Tensor]:
    """P_k of the targets for ``orders`` (ascending), [B, T, K] like ``p``, and which were seen: total > 0.

    ``p_BT`` is P_1 of the targets; ``counts`` comes from ``preceding_counts``. Orders left out are skipped in
    the recursion.
    """
    chain, seen = [], []
    for order in orders:
        count, total, distinct = counts[:, order - 2].to(p_BT.dtype)
        known = total > 0
        p_BT = torch.where(known, (count + distinct * p_BT) / (total + distinct).clamp_min(1), p_BT)
        chain.append(p_BT)
        seen.append(known)
    return torch.stack(chain, -1), torch.stack(seen, -1)
