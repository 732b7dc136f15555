"""The formula written out in fp64, and random queries, keys and values for it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.helpers import BOS

Heads = tuple[int, int, int]  # query heads, key/value heads, head size


def inputs(heads: Heads, batch: int = 2, time: int = 300, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Queries and keys of the size that QK norm leaves, and values; all want gradients."""
    generator = torch.Generator().manual_seed(0)
    query_heads, groups, width = heads
    return [
        torch.randn(batch, time, count, width, generator=generator).to(dtype).requires_grad_()
        for count in (query_heads, groups, groups)
    ]


def document_ids(batch: int, time: int) -> Tensor:
    """Tokens with a BOS at places that differ from row to row, on and off the edges of blocks."""
    tokens = torch.full((batch, time), 5)
    for row in range(batch):
        tokens[row, row :: 37 + row] = BOS
    tokens[:, time // 2] = BOS
    return tokens


def written_out(q: Tensor, k: Tensor, v: Tensor, see_BTT: Tensor | None = None) -> Tensor:
    """``softmax(q kᵀ / √K) v`` over the visible keys in fp64, a head at a time; causal by itself."""
    time, heads = q.shape[1:3]
    see = torch.ones(time, time, dtype=torch.bool).tril()
    if see_BTT is not None:
        see = see & see_BTT
    found = []
    for head in range(heads):
        group = head * k.size(2) // heads
        q_, k_, v_ = q[:, :, head].double(), k[:, :, group].double(), v[:, :, group].double()
        scores = (q_ @ k_.transpose(1, 2) / math.sqrt(q.size(3))).masked_fill(~see, -math.inf)
        found.append(scores.softmax(-1) @ v_)
    return torch.stack(found, 2)


def gradients(y: Tensor, given: list[Tensor]) -> list[Tensor]:
    """Of a fixed random weighting of ``y`` with respect to what was given."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(y.shape, generator=generator).to(y.dtype)
    return list(torch.autograd.grad((y * weight).sum(), given))


def relative(found: Tensor, wanted: Tensor) -> float:
    """RMS of the difference over RMS of what is wanted."""
    return ((found.double() - wanted.double()).square().mean() / wanted.double().square().mean()).sqrt().item()
