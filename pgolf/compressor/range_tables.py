"""The integer tables behind ``compressor=range``: logits, rates, the normal law and its widths.

Everything comes from Python's own integers and from integer numpy, so that every machine makes the same
tables; no library's exp or erf is asked. They lie one after another in one int32 array, at the offsets that
``pgolf.compressor.range_kernels`` names.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np

from pgolf.compressor.range_kernels import (
    COUNT_BITS,
    CURVE_BITS,
    CURVE_END,
    CURVE_ONE,
    CURVE_STEPS,
    INVERSE_BITS,
    INVERSE_ONE,
    LOGIT_END,
    LOGIT_UNIT,
    MEANS,
    NORMAL,
    OCTAVES,
    P_BITS,
    P_ONE,
    RATE,
    SQUASH,
    STRETCH,
    STRETCHES,
    TABLES,
    WIDTHS,
)

_ONE = 1 << 60


def _exponential(numerator: int, denominator: int) -> int:
    """e^(numerator / denominator) in units of 2^-60, for arguments well below 1."""
    terms = ((_ONE << 30) * numerator**n // (denominator**n * math.factorial(n)) for n in range(16))
    return sum(terms) >> 30


def _squash() -> np.ndarray:
    """Probability 1 / (1 + e^-x) of each logit, never 0 or 1."""
    step, exponential, above = _exponential(1, LOGIT_UNIT), _ONE, []
    for _ in range(LOGIT_END + 1):
        above.append((exponential << P_BITS) // (exponential + _ONE))
        exponential = exponential * step >> 60
    return np.clip([P_ONE - p for p in reversed(above[1:])] + above, 1, P_ONE - 1)


def _stretch(squash: np.ndarray) -> np.ndarray:
    """Logit of the middle of each twelve-bit probability: the inverse of ``_squash``."""
    step = P_ONE // STRETCHES
    return np.searchsorted(squash, np.arange(STRETCHES) * step + step // 2) - LOGIT_END


def _normal_curve() -> list[int]:
    """The normal distribution function at -8 sigma .. 8 sigma: a sum of trapezia half as wide as the steps."""
    fine = 2 * CURVE_STEPS  # per sigma
    factor, ratio = _exponential(-1, fine * fine), _exponential(-1, 2 * fine * fine)
    density = [_ONE]
    for _ in range(8 * fine):  # e^-(i+1)^2/2 = e^-i^2/2 e^-(2i+1)/2
        density.append(density[-1] * ratio >> 60)
        ratio = ratio * factor >> 60
    slices = [a + b for a, b in pairwise(density)]
    half = sum(slices)
    upper, area = [0], 0
    for left, right in zip(slices[::2], slices[1::2], strict=True):
        area += left + right
        upper.append(area)
    middle = CURVE_ONE // 2
    above = [middle + middle * area // half for area in upper]
    return [CURVE_ONE - p for p in reversed(above[1:])] + above


def _inverse_widths(curve: list[int]) -> np.ndarray:
    """For each mean |q|, in units of 1/64: 1 / sigma of the normal law whose rounded values have that mean.

    In units of ``INVERSE_ONE``. Where it is wide, its own mean |x| tells, sqrt(2 / pi) sigma; where it is narrow,
    rounding counts, and sigma is found by halving, since the mean grows with it.
    """
    means = np.maximum(1, np.arange(MEANS, dtype=np.int64))
    wide = INVERSE_ONE * 64 * 797_885 // (means * 1_000_000)
    narrow = means[: 4 * 64]
    curve_K = np.array(curve, dtype=np.int64)
    low, high = np.full_like(narrow, INVERSE_ONE // 8), np.full_like(narrow, INVERSE_ONE * 16)
    edges = (32 + 64 * np.arange(64, dtype=np.int64))[:, None]  # 1/2, 3/2, ... in units of 1/64
    for _ in range(24):
        middle = (low + high) >> 1
        at = np.minimum(CURVE_END, edges * middle >> INVERSE_BITS)
        mean = 2 * (CURVE_ONE - curve_K[CURVE_END + at]).sum(axis=0)
        too_wide = mean > narrow << (CURVE_BITS - 6)
        low, high = np.where(too_wide, middle, low), np.where(too_wide, high, middle)
    return np.concatenate([high, wide[len(narrow) :]])


@cache
def tables() -> np.ndarray:
    """int32 [TABLES]: see the offsets in ``range_kernels``. Made once per process."""
    squash, normal = _squash(), _normal_curve()
    counts = range(1 << COUNT_BITS)
    parts = {
        SQUASH: squash,
        STRETCH: _stretch(squash),
        RATE: [(2 << 16) // (2 * n + 3) for n in counts],  # 1 / (n + 1.5), units of 2^-16
        OCTAVES: [0, *((e**8).bit_length() - 1 for e in range(1, MEANS))],  # floor(8 log2 e)
        NORMAL: normal,
        WIDTHS: _inverse_widths(normal),
    }
    result = np.concatenate([np.asarray(part, dtype=np.int32) for part in parts.values()])
    assert list(parts) == sorted(parts) and len(result) == TABLES
    return result
