"""Zero the smallest weights of each matrix and table, then quantize what is left as if it had been trained so.

Formula: W_ij = 0 where |W_ij| < quantile(|W|, fraction) over the whole tensor; then policy, scales and rounding, with
    GPTQ or without.
Source: #180, #687 and #860 prune 3 %, #576 2 %, #1004 5 % (spec quant §6): every tensor of more than 65,536 elements,
    which at the record's size are the matrices and tables that the storage role names.
Cost in bytes: less than none, a little: at five bits and fewer the smallest 3 % would round to zero anyway.
Cost in step time: none; two selections per tensor at the end.
When it hurts: before GPTQ it does not even last, as the feedback moves zeros away again; ``magnitude_mask`` keeps
    them. On a fine grid it is damage without bytes saved.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.quant.pruning.base import Pruning, smallest
from pgolf.quant.tensor_info import TensorInfo


class Magnitude(Pruning):
    """``quant/pruning=magnitude``."""

    def __init__(self, *, fraction: Annotated[float, Between(0, 0.9, open_low=True)]) -> None:
        self.fraction = fraction

    def pruned(self, weight: Tensor, info: TensorInfo) -> Tensor:
        return weight if info.kept_by_role else weight.masked_fill(smallest(weight, self.fraction), 0)
