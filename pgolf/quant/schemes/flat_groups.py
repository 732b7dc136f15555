"""Groups of a fixed number of elements along the flattened tensor, the last one perhaps shorter."""

# G groups, N elements of a group

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def group_count(shape: Sequence[int], group: int) -> int:
    """How many groups of ``group`` elements a tensor of ``shape`` has; none if it is empty."""
    return -(-math.prod(shape) // group)


def grouped(x: Tensor, group: int) -> Tensor:
    """``x`` flattened row-major as [G, N] with N = ``group``; the last group is filled up with zeros."""
    groups = group_count(x.shape, group)
    return F.pad(x.reshape(-1), (0, groups * group - x.numel())).reshape(groups, group)


def ungrouped(x_GN: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of ``grouped``."""
    return x_GN.reshape(-1)[: math.prod(shape)].reshape(tuple(shape))


def lengths(shape: Sequence[int], group: int) -> Tensor:
    """How many elements each group really has: float32 [G]."""
    length_G = torch.full((group_count(shape, group),), float(group))
    if len(length_G):
        length_G[-1] -= len(length_G) * group - math.prod(shape)
    return length_G
