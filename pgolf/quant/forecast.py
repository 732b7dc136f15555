"""Bits per weight that a quantizer will need, before anything is trained: the Gaussian law (spec quant §4).

A Gaussian row of deviation σ on a grid of step s has entropy about ``log2(σ/s) + 2.047`` bits a weight. With a
row-maximum scale, s = max|w|/qmax, and the largest of C Gaussian magnitudes is about its median,
``Φ⁻¹((1 + 0.5^(1/C))/2)`` deviations. Trained weights are not exactly Gaussian; the forecast is for planning.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from pgolf.quant.grid import qmax

GAUSSIAN_BITS = 2.047  # log2 sqrt(2πe)


def row_maximum_sigmas(columns: int) -> float:
    """The median of the largest magnitude among ``columns`` standard Gaussians."""
    return NormalDist().inv_cdf((1 + 0.5 ** (1 / columns)) / 2)


def row_maximum_bits(bits: int, columns: int) -> float:
    """Entropy in bits per weight of a Gaussian row of ``columns`` weights on a ``bits`` grid up to its maximum."""
    return math.log2(qmax(bits) / row_maximum_sigmas(columns)) + GAUSSIAN_BITS
