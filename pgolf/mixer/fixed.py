"""A fixed share of each row for the experts.

Formula: p = (1 - a) p_1 + a (mean of the experts' rows), at every position, whether or not they have seen the token.
Source: pull requests 187 (a = 0.2, one hashed order) and 727 (0.4, back-off), over rows that do not sum to one.
Bytes: none. Time: O(E V) a token.
Hurts: wherever the network is sure: what it knew is cut by the share.
"""

# E rows, the network's first; V vocabulary, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between
from pgolf.mixer.shares import need_experts


class FixedShares(NamedTuple):
    weight_E: np.ndarray  # float32


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture."""
    weight_E = state.weight_E
    for v in range(len(row_V)):
        row_V[v] = weight_E[0] * rows_EV[0, v]
    for e in range(1, len(weight_E)):
        for v in range(len(row_V)):
            row_V[v] += weight_E[e] * rows_EV[e, v]


def learn(state, lane, rows_EV, in_F, token):
    """Nothing is learnt."""


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit."""
    weight_E = state.weight_E
    p = weight_E[0] * p_E[0]
    for e in range(1, len(weight_E)):
        p += weight_E[e] * p_E[e]
    return p


class Fixed:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(self, *, share: Annotated[float, Between(0, 1, open_low=True)]) -> None:
        self.share = share

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        need_experts("fixed", experts)
        weight_E = np.array([1 - self.share] + [self.share / experts] * experts, dtype=np.float32)
        return Stage("fixed", predict, learn, FixedShares(weight_E), score=score, learns_from="token")
