"""What a pruning is: it zeroes weights before anything else sees them, or says which codes must be zero.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from torch import Tensor

from pgolf.quant.tensor_info import TensorInfo


class Pruning:
    """An option overrides one of the two; both leave everything as it is by default."""

    def pruned(self, weight: Tensor, info: TensorInfo) -> Tensor:
        """``weight``, or a copy of it with zeros: what policy, scales and rounding get to see."""
        return weight

    def zero_codes(self, w_RC: Tensor, info: TensorInfo) -> Tensor | None:
        """Marks the weights whose codes are 0 in the end (bool [R, C]), or None."""
        return None


def smallest(weight: Tensor, fraction: float) -> Tensor:
    """Marks |w| below the ``fraction`` quantile of all |w| of the tensor (bool, its shape); of equals none too many.

    The quantile is linear between order statistics. ``kthvalue`` finds it, because ``torch.quantile`` refuses
    more than 2^24 elements.
    """
    magnitude = weight.abs()
    if not weight.numel():
        return magnitude.bool()
    position = fraction * (weight.numel() - 1)
    below = int(position)
    threshold = magnitude.flatten().kthvalue(below + 1).values
    if position > below:
        above = magnitude.flatten().kthvalue(below + 2).values
        threshold = threshold.lerp(above, position - below)
    return magnitude < threshold
