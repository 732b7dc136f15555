"""What samples of scores show: Welch's t-test and the one-sample one, one- and two-sided, and confidence intervals.

Student's distribution is I_x(df/2, 1/2) with x = df/(df + t²); the regularised incomplete beta function is summed as
its continued fraction (Numerical Recipes §6.4, modified Lentz), to about twelve digits: no library is needed for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TINY, _EPSILON, _MOST_TERMS = 1e-300, 1e-15, 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` independent scores by their ``mean`` and standard deviation ``std`` (n−1), None for fewer than two."""

    n: int
    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Raises ValueError for no values."""
        if not values:
            raise ValueError("no values, no sample")
        mean = math.fsum(values) / len(values)
        if len(values) < 2:
            return cls(1, mean, None)
        return cls(len(values), mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)))

    def scaled(self, factor: float) -> Sample:
        """The same scores in another unit."""
        return Sample(self.n, self.mean * factor, None if self.std is None else self.std * factor)


@dataclass(frozen=True, slots=True)
class TTest:
    """``difference``: of the means, without the margin that ``t`` has. ``one_sided``: the probability of a ``t`` as low
    or lower where there is no difference; ``two_sided``: of one as far from 0."""

    difference: float
    margin: float
    standard_error: float
    t: float
    df: float

    @property
    def one_sided(self) -> float:
        return t_below(self.t, self.df)

    @property
    def two_sided(self) -> float:
        return min(1.0, 2 * t_below(-abs(self.t), self.df))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where the difference of the means lies, with this confidence."""
        half = t_quantile(0.5 + confidence / 2, self.df) * self.standard_error
        return self.difference - half, self.difference + half


def welch(first: Sample, second: Sample, margin: float = 0.0) -> TTest | None:
    """Is the mean of ``first`` below that of ``second`` by more than ``margin``? Variances may differ.

    t = (x̄₁ + margin − x̄₂)/√(a + b), df = (a + b)²/(a²/(n₁−1) + b²/(n₂−1)), a = s₁²/n₁, b = s₂²/n₂. None where nothing
    can be tested: fewer than two scores on a side, or none of them differs from another.
    """
    if first.std is None or second.std is None:
        return None
    a, b = first.std**2 / first.n, second.std**2 / second.n
    if not a + b > 0:
        return None
    df = (a + b) ** 2 / (a**2 / (first.n - 1) + b**2 / (second.n - 1))
    return _test(first.mean - second.mean, margin, math.sqrt(a + b), df)


def one_sample(sample: Sample, reference: float, margin: float = 0.0) -> TTest | None:
    """The same where the reference is one number, which is then taken as exact: t = (x̄ + margin − r)/(s/√n), n−1."""
    if not sample.std:
        return None
    return _test(sample.mean - reference, margin, sample.std / math.sqrt(sample.n), sample.n - 1)


def _test(difference: float, margin: float, error: float, df: float) -> TTest:
    return TTest(difference, margin, error, (difference + margin) / error, df)


def t_below(t: float, df: float) -> float:
    """The probability that Student's t of ``df`` degrees of freedom is below ``t``."""
    if math.isnan(t) or not df > 0:
        return math.nan
    if math.isinf(t):
        return float(t > 0)
    square = t * t
    # Of the two arguments that sum to one the smaller is the exact one; both are made as such.
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + square), square / (df + square))
    return tail if t < 0 else 1.0 - tail


def t_quantile(probability: float, df: float) -> float:
    """The t that ``probability`` lies below. Raises ValueError outside (0, 1)."""
    if not 0 < probability < 1:
        raise ValueError(f"{probability} is no probability inside (0, 1)")
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    low, high = 0.0, 1.0
    while t_below(high, df) < probability:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_below(middle, df) < probability else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b), ``rest`` being 1 − x."""
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away_from_zero(1.0 + numerator * d)
            c = _away_from_zero(1.0 + numerator / c)
            value *= c * d
        if abs(c * d - 1.0) < _EPSILON:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
