"""Experts weighted by the code length each would have had so far, with a little given back to all at every token.

Formula: p = sum_k w_k p_k over the network and the experts; after the token x, w_k <- w_k p_k(x)^eta / (their sum) and
w_k <- (1 - epsilon) w_k + epsilon / K. With eta = 1 and epsilon = 0 the whole costs at most -ln(initial w_k) nats more
than any one of them.
Source: Freund and Schapire 1997 (Hedge); Herbster and Warmuth 1998 (fixed share). Pull requests 687, 733 and 720 moved
their weights by batches, with an expert that is no distribution: see ``hedge_published``.
Bytes: none. Time: O(E V) a token.
Hurts: one set of weights for all positions: what is right after some contexts only never gets far.
"""

# E rows, the network's first; V vocabulary, F signals in, S signals out

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Fraction, PositiveFloat
from pgolf.mixer.shares import need_experts, weight_names

LEAST = 1e-12  # so that no weight comes to nothing


class HedgeWeights(NamedTuple):
    weight_E: np.ndarray  # float64
    setting_2: np.ndarray  # float64: eta, epsilon


@register_jitable
def _teach(state, p_E):
    weight_E, (eta, epsilon) = state.weight_E, state.setting_2
    largest = np.float64(0.0)
    for e in range(len(weight_E)):
        largest = max(largest, np.float64(p_E[e]))
    total = 0.0
    for e in range(len(weight_E)):
        weight_E[e] = max(weight_E[e] * (np.float64(p_E[e]) / largest) ** eta, LEAST)
        total += weight_E[e]
    for e in range(len(weight_E)):
        weight_E[e] = (1.0 - epsilon) * (weight_E[e] / total) + epsilon / len(weight_E)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture by the weights so far, and these."""
    out_S[:] = state.weight_E
    weight = np.float32(state.weight_E[0])
    for v in range(len(row_V)):
        row_V[v] = weight * rows_EV[0, v]
    for e in range(1, len(rows_EV)):
        weight = np.float32(state.weight_E[e])
        for v in range(len(row_V)):
            row_V[v] += weight * rows_EV[e, v]


def learn(state, lane, rows_EV, in_F, token):
    """Weigh all anew by what they gave to the token."""
    _teach(state, rows_EV[:, token])


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then learn it."""
    out_S[:] = state.weight_E
    p = np.float32(state.weight_E[0]) * p_E[0]
    for e in range(1, len(p_E)):
        p += np.float32(state.weight_E[e]) * p_E[e]
    _teach(state, p_E)
    return p


class Hedge:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(self, *, eta: PositiveFloat, epsilon: Fraction, network_logit: float) -> None:
        self.eta, self.epsilon, self.network_logit = eta, epsilon, network_logit

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to weigh."""
        need_experts("hedge", experts)
        weight_E = np.array([math.exp(self.network_logit)] + [1.0] * experts)
        state = HedgeWeights(weight_E / weight_E.sum(), np.array([self.eta, self.epsilon], dtype=np.float64))
        names = weight_names(experts)
        return Stage("hedge", predict, learn, state, names, score=score, traces=names, learns_from="rows")
