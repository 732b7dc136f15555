"""A product of the rows to the power of learnt weights, divided by its sum.

Formula: p(v) = exp(s(v)) / sum exp(s), s(v) = sum_k w_k ln p_k(v) over the network and the experts; after the token x,
w_k += rate (ln p_k(x) - sum_v p(v) ln p_k(v)), the gradient of ln p(x).
Source: logarithmic opinion pool; Mattern 2012 (geometric mixing). The scalar form of pull requests 187 and 959, for the
token that came alone, has rows without a sum of one.
Bytes: none. Memory: E V numbers. Time: O(E V) with a logarithm each and O(V) exponentials a token, of whole
rows of the experts.
Hurts: what one of them all but excludes is excluded; one set of weights for all positions.
"""

# E rows, the network's first; V vocabulary, F signals in, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeFloat
from pgolf.mixer.shares import weight_names

LEAST = np.float32(1e-30)
MOST_WEIGHT = 8.0


class GeometricWeights(NamedTuple):
    weight_E: np.ndarray  # float64
    rate_1: np.ndarray  # float64
    log_EV: np.ndarray  # float64, of the rows at hand
    mean_E: np.ndarray  # float64: their means over the last row, which ``learn`` needs
    u_V: np.ndarray  # float32: what the last row is in proportion to


@register_jitable
def _pool(state, rows_EV):
    """The exponentials, the means that go with them, and what makes a row of them."""
    weight_E, log_EV, mean_E, u_V = state.weight_E, state.log_EV, state.mean_E, state.u_V
    most = -np.inf
    for v in range(len(u_V)):
        s = 0.0
        for e in range(len(weight_E)):
            log_EV[e, v] = math.log(np.float64(rows_EV[e, v]))
            s += weight_E[e] * log_EV[e, v]
        most = max(most, s)
    mean_E[:] = 0.0
    total = 0.0
    for v in range(len(u_V)):
        s = -most
        for e in range(len(weight_E)):
            s += weight_E[e] * log_EV[e, v]
        u = math.exp(s)
        u_V[v] = u
        total += u
        for e in range(len(weight_E)):
            mean_E[e] += u * log_EV[e, v]
    for e in range(len(weight_E)):
        mean_E[e] /= total
    return np.float32(1.0 / total)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row, the means that go with it, and the weights."""
    out_S[:] = state.weight_E
    scale = _pool(state, rows_EV)
    for v in range(len(row_V)):
        row_V[v] = max(scale * state.u_V[v], LEAST)


@register_jitable
def learn(state, lane, rows_EV, in_F, token):
    """One step of gradient ascent on the logarithm of what the row gave to the token."""
    weight_E = state.weight_E
    for e in range(len(weight_E)):
        step = state.rate_1[0] * (math.log(np.float64(rows_EV[e, token])) - state.mean_E[e])
        weight_E[e] = min(max(weight_E[e] + step, -MOST_WEIGHT), MOST_WEIGHT)


def price(state, lane, rows_EV, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then learn it."""
    out_S[:] = state.weight_E
    p = max(_pool(state, rows_EV) * state.u_V[token], LEAST)
    learn(state, lane, rows_EV, in_F, token)
    return p


class Geometric:
    """See the module. Without an expert it learns a temperature of the network's row."""

    neutral: ClassVar[bool] = False

    def __init__(self, *, initial_share: Annotated[float, Between(0, 1)], rate: NonNegativeFloat) -> None:
        self.initial_share, self.rate = initial_share, rate

    def stage(self, facts: Facts, experts: int) -> Stage:
        """The weights begin with ``initial_share`` for the experts, in equal parts, and the rest for the network."""
        share = self.initial_share if experts else 0.0
        state = GeometricWeights(
            weight_E=np.array([1 - share] + [share / max(experts, 1)] * experts),
            rate_1=np.array([self.rate], dtype=np.float64),
            log_EV=np.zeros((experts + 1, facts.vocab_size)),
            mean_E=np.zeros(experts + 1),
            u_V=np.zeros(facts.vocab_size, dtype=np.float32),
        )
        names = weight_names(experts)
        return Stage("geometric", predict, learn, state, names, price=price, traces=names)
