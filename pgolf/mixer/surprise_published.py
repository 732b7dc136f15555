"""NOT A CODE LENGTH: the rule of ``surprise`` as it was published, whose rows do not sum to one.

Formula: p(v) = (1 - a_v) p_1(v) + a_v q(v) for tokens that the expert has seen, q(v) > 1e-20, else p_1(v), with
a_v = ``share`` · min(max(-ln p_1(v) / ``centre``, ``least``), ``most``). The weight is read off the very token that
came and nothing is taken from the others; the certificate fails it for its sums.
Source: pull request 1026, with its constants.
Bytes: none. Time: O(E V), and a logarithm for each token that was seen.
Hurts: what is claimed is no score. Σp was 1.4-1.6 on average with exact counts.
"""

# E rows, the network's first; V vocabulary, F signals in, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeFloat, PositiveFloat
from pgolf.mixer.shares import need_experts

UNSEEN = 1e-20  # rows are positive: what an expert gives nothing has not more than this


class PublishedSurpriseShares(NamedTuple):
    setting_4: np.ndarray  # float64: share, centre, least, most


@register_jitable
def _claim(share, centre, least, most, own, q_sum, experts):
    u, q = np.float64(own), np.float64(q_sum)
    if q <= UNSEEN:
        return np.float32(u)
    a = share * min(max(-math.log(u) / centre, least), most)
    return np.float32((1.0 - a) * u + a * (q / experts))


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """What would be claimed of each token, had it come."""
    share, centre, least, most = state.setting_4
    experts = len(rows_EV) - 1
    for v in range(len(row_V)):
        q = rows_EV[1, v]
        for e in range(2, experts + 1):
            q += rows_EV[e, v]
        row_V[v] = _claim(share, centre, least, most, rows_EV[0, v], q, experts)


def learn(state, lane, rows_EV, in_F, token):
    """Nothing is learnt."""


def score(state, lane, p_E, in_F, token, out_S):
    """What is claimed of the token, to the bit."""
    share, centre, least, most = state.setting_4
    q = p_E[1]
    for e in range(2, len(p_E)):
        q += p_E[e]
    return _claim(share, centre, least, most, p_E[0], q, len(p_E) - 1)


class PublishedSurprise:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        share: Annotated[float, Between(0, 1, open_low=True)],
        centre: PositiveFloat,
        least: NonNegativeFloat,
        most: PositiveFloat,
    ) -> None:
        self.settings = (share, centre, least, most)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        need_experts("surprise_published", experts)
        state = PublishedSurpriseShares(np.array(self.settings, dtype=np.float64))
        return Stage("surprise_published", predict, learn, state, score=score, learns_from="token")
