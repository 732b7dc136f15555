"""The more a token would surprise the network, the more the expert's word counts for it; then divided by the sum.

Formula: p(v) = u(v) / sum u, u(v) = (1 - a_v) p_1(v) + a_v q(v) for tokens that the expert has seen, q(v) > 1e-20, else
p_1(v); a_v = ``share`` · min(max(-ln p_1(v) / ``centre``, ``least``), ``most``), q the mean of the experts' rows.
Source: pull request 1026 (share 0.5, centre 2.5, least 0.1, most 2; exact counts of orders up to 7 in strict back-off),
which claims u itself, no distribution: see ``surprise_published``.
Bytes: none. Time: O(E V), and a logarithm for each token that was seen, in whole rows of the experts.
Hurts: every token gains where it is seen and rare, so that the sum takes much of it back.
"""

# E rows, the network's first; V vocabulary, F signals in, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeFloat, PositiveFloat
from pgolf.mixer.shares import need_experts

UNSEEN = 1e-20  # rows are positive: what an expert gives nothing has not more than this


class SurpriseShares(NamedTuple):
    setting_4: np.ndarray  # float64: share, centre, least, most


@register_jitable
def _claimed(setting_4, rows_EV, v):
    """u(v)."""
    share, centre, least, most = setting_4
    experts = len(rows_EV) - 1
    q = np.float64(rows_EV[1, v])
    for e in range(2, experts + 1):
        q += np.float64(rows_EV[e, v])
    u = np.float64(rows_EV[0, v])
    if q > UNSEEN:
        a = share * min(max(-math.log(u) / centre, least), most)
        u = (1.0 - a) * u + a * (q / experts)
    return u


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row, divided by its sum."""
    total = 0.0
    for v in range(len(row_V)):
        u = _claimed(state.setting_4, rows_EV, v)
        row_V[v] = u
        total += u
    scale = np.float32(1.0 / total)
    for v in range(len(row_V)):
        row_V[v] *= scale


def learn(state, lane, rows_EV, in_F, token):
    """Nothing is learnt."""


def price(state, lane, rows_EV, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row."""
    total = 0.0
    for v in range(rows_EV.shape[1]):
        total += _claimed(state.setting_4, rows_EV, v)
    return np.float32(1.0 / total) * np.float32(_claimed(state.setting_4, rows_EV, token))


class Surprise:
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
        """Raises ConfigError where the share could be more than a whole row."""
        if share * most > 1 or least > most:
            raise ConfigError(
                f"mixer.most: {most} with mixer.share = {share} and mixer.least = {least}; "
                "their product is at most 1, and it is not below the least"
            )
        self.settings = (share, centre, least, most)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        need_experts("surprise", experts)
        state = SurpriseShares(np.array(self.settings, dtype=np.float64))
        return Stage("surprise", predict, learn, state, price=price, learns_from="token")
