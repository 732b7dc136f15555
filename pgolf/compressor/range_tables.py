"""The integer tables behind ``compressor=range``: logits, rates, two bell curves and the steps of their widths.

Everything comes from Python's own integers and from integer numpy, so that every machine makes the same
tables; no library's exp or erf is asked. They lie one after another in one int32 array, at the offsets that
``pgolf.compressor.range_kernels`` names.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from pgolf.compressor import range_kernels as k

_ONE = 1 << 60


def _exponential(numerator: int, denominator: int) -> int:
    """e^(numerator / denominator) in units of 2^-60, for arguments well below 1."""
    terms = ((_ONE << 30) * numerator**n // (denominator**n * math.factorial(n)) for n in range(16))
    return sum(terms) >> 30


def _powers(base: int, count: int) -> list[int]:
    """1, base, base^2, ... in units of 2^-60."""
    values = [_ONE]
    while len(values) < count:
        values.append(values[-1] * base >> 60)
    return values


def _logistic(exponentials: list[int], bits: int) -> list[int]:
    """1 / (1 + e^-x) in units of 2^-bits, at -x and at x for every e^x given (e^0 first, once)."""
    above = [(e << bits) // (e + _ONE) for e in exponentials]
    return [(1 << bits) - p for p in reversed(above[1:])] + above


def _squash() -> np.ndarray:
    """Probability of each logit, never 0 or 1."""
    probabilities = _logistic(_powers(_exponential(1, k.LOGIT_UNIT), k.LOGIT_END + 1), k.P_BITS)
    return np.clip(probabilities, 1, k.P_ONE - 1)


def _stretch(squash: np.ndarray) -> np.ndarray:
    """Logit of the middle of each twelve-bit probability: the inverse of ``_squash``."""
    step = k.P_ONE // k.STRETCHES
    return np.searchsorted(squash, np.arange(k.STRETCHES) * step + step // 2) - k.LOGIT_END


def _normal_curve() -> list[int]:
    """The normal distribution function at -8 sigma .. 8 sigma: a sum of trapezia half as wide as the steps."""
    fine = 2 * k.CURVE_STEPS  # per sigma
    factor, ratio = _exponential(-1, fine * fine), _exponential(-1, 2 * fine * fine)
    density = [_ONE]
    for _ in range(8 * fine):  # e^-(i+1)^2/2 = e^-i^2/2 e^-(2i+1)/2
        density.append(density[-1] * ratio >> 60)
        ratio = ratio * factor >> 60
    slices = [a + b for a, b in zip(density, density[1:], strict=False)]
    half = sum(slices)
    upper, area = [0], 0
    for left, right in zip(slices[::2], slices[1::2], strict=True):
        area += left + right
        upper.append(area)
    middle = k.CURVE_ONE // 2
    above = [middle + middle * area // half for area in upper]
    return [k.CURVE_ONE - p for p in reversed(above[1:])] + above


def _logistic_curve() -> list[int]:
    """The logistic distribution function of about the same width (1.7 x), for what has heavier tails."""
    step = _exponential(17, 10 * k.CURVE_STEPS)
    return _logistic(_powers(step, k.CURVE_END + 1), k.CURVE_BITS)


def _inverse_widths(curve: list[int], mean_millionths: int) -> np.ndarray:
    """For each mean |q|, in units of 1/64: 1 / sigma of the curve whose rounded values have that mean.

    In units of ``k.INVERSE_ONE``. Where the curve is wide, its own mean |x| tells; where it is narrow, rounding
    counts, and sigma is found by halving, since the mean grows with it.
    """
    means = np.maximum(1, np.arange(k.MEANS, dtype=np.int64))
    wide = k.INVERSE_ONE * 64 * mean_millionths // (means * 1_000_000)
    narrow = means[: 4 * 64]
    curve_K = np.array(curve, dtype=np.int64)
    low, high = np.full_like(narrow, k.INVERSE_ONE // 8), np.full_like(narrow, k.INVERSE_ONE * 16)
    edges = (32 + 64 * np.arange(64, dtype=np.int64))[:, None]  # 1/2, 3/2, ... in units of 1/64
    for _ in range(24):
        middle = (low + high) >> 1
        at = np.minimum(k.CURVE_END, edges * middle >> k.INVERSE_BITS)
        mean = 2 * (k.CURVE_ONE - curve_K[k.CURVE_END + at]).sum(axis=0)
        too_wide = mean > narrow << (k.CURVE_BITS - 6)
        low, high = np.where(too_wide, middle, low), np.where(too_wide, high, middle)
    return np.concatenate([high, wide[len(narrow) :]])


@cache
def tables() -> np.ndarray:
    """int32 [k.TABLES]: see the offsets in ``range_kernels``. Made once per process."""
    squash, normal, logistic = _squash(), _normal_curve(), _logistic_curve()
    counts = range(1 << k.COUNT_BITS)
    parts = {
        k.SQUASH: squash,
        k.STRETCH: _stretch(squash),
        k.RATE: [(2 << 16) // (2 * n + 3) for n in counts],  # 1 / (n + 1.5), units of 2^-16
        k.OCTAVES: [0, *((e**8).bit_length() - 1 for e in range(1, k.MEANS))],  # floor(8 log2 e)
        k.NORMAL: normal,
        k.LOGISTIC: logistic,
        k.NORMAL_WIDTHS: _inverse_widths(normal, 797_885),  # sqrt(2 / pi)
        k.LOGISTIC_WIDTHS: _inverse_widths(logistic, 815_467),  # 2 ln 2 / 1.7
    }
    result = np.concatenate([np.asarray(part, dtype=np.int32) for part in parts.values()])
    assert list(parts) == sorted(parts) and len(result) == k.TABLES
    return result
