"""The compiled part of ``head_loss`` on a CPU: from a chunk's logits to its loss and gradient in one visit to a row.

Shapes: N tokens of a chunk, V vocab.

In place, row by row: ``z → scale·(softmax(c·tanh(z/c)) − 1_target)·(1 − tanh²(z/c))``. A row stays in the first-level
cache between its two passes, and both are sums and products that a compiler turns into vector instructions, so a logit
costs two powers of two and a division instead of a dozen passes of kernels over the chunk. With
``e = 2^(−2|z|/c·log2 e)`` it is ``tanh(|z|/c) = (1 − e)/(1 + e)`` and ``1 − tanh² = 4e/(1 + e)²``.
``2^x = 2^k·(1 + r·p(r))`` with k = ⌊x + ½⌋, r = x − k and p the interpolation at Chebyshev points of degree 5, whose
relative error of 5e-9 disappears in the rounding of fp32. What is no number stays none.
"""

from __future__ import annotations

import math

import numpy as np

from pgolf.core.compiled import compiled

P0, P1, P2 = np.float32(0.6931471880262287), np.float32(0.24022650760568132), np.float32(0.055503571142201544)
P3, P4, P5 = np.float32(0.00961808255728395), np.float32(0.0013390863364174759), np.float32(0.00015453162941980736)
HALF, ONE, FOUR = np.float32(0.5), np.float32(1), np.float32(4)
LOG2E = np.float32(1.4426950408889634)
LEAST_POWER = np.float32(-126)  # of two that is a normal number of fp32
BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)
HALF_BITS, ROUND_UP, LAST_BIT = np.int32(16), np.int32(0x7FFF), np.int32(1)

LANES = 64  # partial sums of a row

# Products are fused with sums, and nothing is reordered: how a compiler reorders depends on the names of variables.
_FUSED = {"fastmath": {"contract"}, "error_model": "numpy"}


@compiled(**_FUSED)
def _power_of_two(x):
    """2^x for x from LEAST_POWER to 127."""
    k = np.floor(x + HALF)
    r = x - k
    p = ((((P5 * r + P4) * r + P3) * r + P2) * r + P1) * r + P0
    unit = np.int32((np.int32(k) + BIAS) << MANTISSA_BITS).view(np.float32)
    return r * p * unit + unit


@compiled(**_FUSED)
def _visit(z_V, target, cap, scale, weight_V, sum_L):
    """The loss of one row, whose logits become the gradient; ``weight_V`` and ``sum_L`` are room for numbers."""
    to_power, from_tanh = -(LOG2E + LOG2E) / cap, cap * LOG2E
    own = z_V[target]
    for v in range(len(z_V)):
        x = abs(z_V[v]) * to_power
        if x < LEAST_POWER:
            x = LEAST_POWER
        e = _power_of_two(x)
        share = ONE / (ONE + e)
        weight_V[v] = _power_of_two(math.copysign((ONE - e) * share, z_V[v]) * from_tanh)
        z_V[v] = FOUR * e * share * share
    sum_L[:] = 0
    for start in range(0, len(z_V) - LANES + 1, LANES):
        for lane in range(LANES):
            sum_L[lane] += weight_V[start + lane]
    total = np.float32(0)
    for v in range(len(z_V) - len(z_V) % LANES, len(z_V)):
        total += weight_V[v]
    for lane in range(LANES):
        total += sum_L[lane]
    factor = scale / total
    weight_V[target] -= total
    for v in range(len(z_V)):
        z_V[v] *= weight_V[v] * factor
    return math.log(total) - cap * math.tanh(own / cap)


@compiled("void(float32[:, ::1], int64[::1], float32, float32, float64[::1])", **_FUSED)
def visit_fp32(z_NV, target_N, cap, scale, nll_N):
    """Losses of all rows into ``nll_N``; ``z_NV`` becomes the gradient."""
    weight_V, sum_L = np.empty(z_NV.shape[1], np.float32), np.empty(LANES, np.float32)
    for n in range(len(z_NV)):
        nll_N[n] = _visit(z_NV[n], target_N[n], cap, scale, weight_V, sum_L)


@compiled("void(int16[:, ::1], int64[::1], float32, float32, float64[::1])", **_FUSED)
def visit_bf16(bits_NV, target_N, cap, scale, nll_N):
    """As ``visit_fp32`` for numbers in bf16, given and made as their bits, computed in fp32."""
    z_V = np.empty(bits_NV.shape[1], np.float32)
    weight_V, sum_L = np.empty_like(z_V), np.empty(LANES, np.float32)
    for n in range(len(bits_NV)):
        row_V = bits_NV[n]
        for v in range(len(z_V)):
            z_V[v] = np.int32(np.int32(row_V[v]) << HALF_BITS).view(np.float32)
        nll_N[n] = _visit(z_V, target_N[n], cap, scale, weight_V, sum_L)
        for v in range(len(z_V)):
            bits = np.float32(z_V[v]).view(np.int32)
            row_V[v] = np.int16((bits + ROUND_UP + ((bits >> HALF_BITS) & LAST_BIT)) >> HALF_BITS)
