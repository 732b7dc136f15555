"""Bytes that a model will need, before anything is trained: the Gaussian law (spec quant §4) and what is known of
trained weights beside it.

A Gaussian row of deviation σ on a grid of step s has entropy about ``log2(σ/s) + 2.047`` bits a weight; here it is
summed exactly, cell by cell, so that coarse and clipping grids come out right as well. With a row-maximum scale,
s = max|w|/qmax, and the largest of C Gaussian magnitudes is about its median, ``Φ⁻¹((1 + 0.5^(1/C))/2)`` deviations.

Trained weights differ from Gaussian ones, and compressors from the entropy, by amounts that hardly vary: measured in
bits a weight on eight architectures at laptop size (sweeps/LOG.md), they are ``trained_bits`` of the scales and
``beyond_law`` of the compressors. Under the legacy floor the step is fixed and the bits follow the size of the weights:
see ``expected_rms``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

from pgolf.core.protocols import Compressor, Quantizer
from pgolf.core.results import ParamSpec, StorageRole
from pgolf.quant.grid import qmax

GAUSSIAN_BITS = 2.047  # log2 sqrt(2πe)
LARGEST_LIES_FURTHER_OUT = -0.08  # bits a weight: a row's largest is 5 % larger than a Gaussian's, so its step is


def row_maximum_sigmas(columns: int) -> float:
    """The median of the largest magnitude among ``columns`` standard Gaussians."""
    return NormalDist().inv_cdf((1 + 0.5 ** (1 / columns)) / 2)


def percentile_sigmas(percentile: float, columns: int) -> float:
    """Where the ``percentile`` of ``columns`` Gaussian magnitudes lies, linear between order statistics."""
    position = percentile * max(0, columns - 1)
    below = min(int(position), max(0, columns - 2))

    def order_statistic(index: int) -> float:  # at its median rank; `index` counts from 0
        if index >= columns - 1:
            return row_maximum_sigmas(max(1, columns))
        return NormalDist().inv_cdf((1 + (index + 2 / 3) / (columns + 1 / 3)) / 2)

    low, high = order_statistic(below), order_statistic(below + 1)
    return low + (position - below) * (high - low) if columns > 1 else low


EXPECTED_RMS: Mapping[StorageRole, float] = {"matrix": 0.17, "embedding": 0.2}


def expected_rms(storage: StorageRole) -> float:
    """The root mean square that trained weights are expected to have; only steps that do not follow them ask.

    Under Muon, growth by steps of one size and weight decay balance, much the same whatever the width: the published
    sizes of #187, #687 and #1026 give 0.16 to 0.18 for their matrices, the codes that #1019 counts 0.16, and the laptop
    runs of sweeps/LOG.md agree. With these, four published sizes are met within 4 % and the laptop's pr1026 and pr1204
    (1,059 steps) within 2 %; 10 % in the size of the weights are 4 % in int5 bytes. Shorter runs stay smaller: after
    350 laptop steps matrices have 0.09, tables 0.29, and the forecast is 10 % too high.

    What its role would keep but a policy puts on the grid is too little to be measured and counts as a matrix.
    """
    return EXPECTED_RMS.get(storage, EXPECTED_RMS["matrix"])


LEAST_OF_LAW = 0.75  # what is taken off is nearly the same at any step, but not once hardly a bit is left
MOST_OF_A_CODE = 1.2  # bytes a weight, its share of a scale included: more is not on a grid


@lru_cache(maxsize=4096)
def _gaussian_cells(step: float, top: int) -> tuple[float, float]:
    """(entropy in bits, mean squared error) of a standard Gaussian on a grid of ``step`` with codes -top..top."""
    entropy = error = 0.0
    for code in range(-top, top + 1):
        low = (code - 0.5) * step if code > -top else -math.inf
        high = (code + 0.5) * step if code < top else math.inf
        share = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
        if share > 0:
            entropy -= share * math.log2(share)
        # E[(z - c)²] over the cell, from its moments of order 0, 1 and 2
        centre, first = code * step, _density(low) - _density(high)
        second = share + _times_density(low) - _times_density(high)
        error += second - 2 * centre * first + centre * centre * share
    return entropy, error


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _times_density(z: float) -> float:
    return z * _density(z) if math.isfinite(z) else 0.0


def gaussian_bits(step: float, top: int) -> float:
    """Entropy in bits per weight of a Gaussian row on a grid of ``step`` deviations with codes -top..top."""
    return _gaussian_cells(step, top)[0]


def least_error_sigmas(percentiles: Sequence[float], columns: int, top: int) -> float:
    """Where the grid of a Gaussian row ends if, of these percentiles, the one with the least error is taken."""
    ends = (percentile_sigmas(percentile, columns) for percentile in percentiles)
    return min(ends, key=lambda sigmas: _gaussian_cells(sigmas / top, top)[1])


def forecast_packed(
    quantizer: Quantizer,
    compressor: Compressor,
    specs: Mapping[str, ParamSpec],
    shapes: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Expected bytes of every tensor of a trained model in its artifact, keys as in ``Quantizer.forecast_model``."""

    def packed(name: str, law_bytes: float) -> float:
        weights = math.prod(shapes.get(name, ()))
        beyond = compressor.beyond_law.get(specs[name].storage) if name in specs else None
        if beyond is None or law_bytes > MOST_OF_A_CODE * weights:  # floats
            return law_bytes
        return max(LEAST_OF_LAW * law_bytes, law_bytes + weights * (beyond + quantizer.trained_bits) / 8)

    return {name: packed(name, size) for name, size in quantizer.forecast_model(specs, shapes).items()}


def row_maximum_bits(bits: int, columns: int) -> float:
    """Entropy in bits per weight of a Gaussian row of ``columns`` weights on a ``bits`` grid up to its maximum."""
    return gaussian_bits(row_maximum_sigmas(columns) / qmax(bits), qmax(bits))


def ternary_bits(threshold: float) -> float:
    """Entropy in bits per weight of a Gaussian's codes -1, 0, 1 where |w| <= threshold * mean|w| becomes 0."""
    zero = math.erf(threshold / math.sqrt(math.pi))  # mean|w| is sqrt(2/pi) deviations
    parts = (zero, (1 - zero) / 2, (1 - zero) / 2)
    return -sum(share * math.log2(share) for share in parts if share > 0)


def group_scale_bits(group: int) -> float:
    """Entropy in bits of one float16 mean magnitude of ``group`` Gaussians, were all groups of one law.

    The mean of n magnitudes spreads by sqrt(pi/2 - 1) / sqrt(n) of itself, and a float16 step is 2^-10.5 of its
    number on average: the Gaussian law again, on another grid.
    """
    spread = math.sqrt((math.pi / 2 - 1) / group)
    return math.log2(spread * 2**10.5) + GAUSSIAN_BITS
