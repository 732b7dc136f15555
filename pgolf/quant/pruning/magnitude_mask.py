"""Hold the codes of the smallest weights of each matrix at zero while the others are chosen around them.

Formula: q_ij = 0 where |W_ij| < quantile(|W|, fraction) over the whole matrix; scales are those of the unpruned matrix,
    and GPTQ's feedback makes up for the zeros as it does for rounding.
Source: none published; #687 prunes before GPTQ, whose feedback moves zeros away again (spec quant §6).
Cost in bytes: less than none, a little: at five bits and fewer the smallest 3 % would round to zero anyway.
Cost in step time: none; two selections per matrix at the end.
When it hurts: on a fine grid it is damage without bytes saved, and its zeros stay where GPTQ would move some away.
    Tables are left alone.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.quant.pruning.base import Pruning, smallest
from pgolf.quant.tensor_info import TensorInfo


class MagnitudeMask(Pruning):
    """``quant/pruning=magnitude_mask``."""

    def __init__(self, *, fraction: Annotated[float, Between(0, 0.9, open_low=True)]) -> None:
        self.fraction = fraction

    def zero_codes(self, w_RC: Tensor, info: TensorInfo) -> Tensor | None:
        return smallest(w_RC, self.fraction) if info.is_matrix else None
