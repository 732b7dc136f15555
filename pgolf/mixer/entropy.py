"""The experts' share of a row grows with the network's entropy, about a centre that may depend on the context's order.

Formula: p = (1 - a) p_1 + a (mean of the experts' rows), at every position,
a = min(``most``, m_k (``base`` + ``span`` sigma(``slope`` (H - c_k)))), H the entropy of p_1 in nats, k the order of
the longest context that an expert has seen (1: none); c_k and m_k are lists from k = 1 on, whose last holds beyond.
Source: pull requests 702, 727, 187 (one centre), 774, 798, 890 (a centre for each order), 809, 846, 843 (and
multipliers); theirs are over rows without a sum of one, and some leave p_1 as it is where no context was seen.
Bytes: none. Time: O(E V) a token, and the entropy.
Hurts: where the network is unsure for good reason and the counts are few; nothing is learnt from being wrong.
"""

# E rows, the network's first; V vocabulary, K orders, F signals in (entropy, order), S signals out

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, Fraction
from pgolf.mixer.shares import blend, blended, need_experts


class EntropyShares(NamedTuple):
    centre_K: np.ndarray  # float64, from order 1 on
    multiplier_K: np.ndarray  # float64
    setting_4: np.ndarray  # float64: base, span, slope, most


@register_jitable
def _share(state, in_F):
    k = 0
    if len(state.centre_K) > 1:
        k = min(max(int(in_F[1]), 1), len(state.centre_K)) - 1
    base, span, slope, most = state.setting_4
    share = base + span / (1.0 + math.exp(-slope * (np.float64(in_F[0]) - state.centre_K[k])))
    return min(state.multiplier_K[k] * share, most)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture, and the experts' share."""
    share = _share(state, in_F)
    out_S[0] = share
    blend(share, rows_EV, row_V)


def learn(state, lane, rows_EV, in_F, token):
    """Nothing is learnt."""


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit."""
    share = _share(state, in_F)
    out_S[0] = share
    return blended(share, p_E)


class Entropy:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        base: Fraction,
        span: Fraction,
        slope: float,
        centres: Sequence[float],
        multipliers: Sequence[float],
        most: Annotated[float, Between(0, 1, open_low=True)],
    ) -> None:
        """Raises ConfigError for lists that are empty or have other things than numbers."""
        for name, values in (("centres", centres), ("multipliers", multipliers)):
            if not values or not all(
                isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
                for value in values
            ):
                raise ConfigError(f"mixer.{name}: {list(values)!r} is no list of numbers, from order 1 on")
        if min(multipliers) < 0:
            raise ConfigError(f"mixer.multipliers: {list(multipliers)!r} has one below 0")
        if base + span > 1 and most == 1:
            raise ConfigError(f"mixer.base: {base} with mixer.span = {span} is more than a whole row; lower mixer.most")
        orders = max(len(centres), len(multipliers))
        self.centres, self.multipliers = _extended(centres, orders), _extended(multipliers, orders)
        self.settings = (base, span, slope, most)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        need_experts("entropy", experts)
        state = EntropyShares(
            np.array(self.centres, dtype=np.float64),
            np.array(self.multipliers, dtype=np.float64),
            np.array(self.settings, dtype=np.float64),
        )
        needs = ("entropy", "order") if len(self.centres) > 1 else ("entropy",)
        return Stage(
            "entropy", predict, learn, state, ("share",), needs, score=score, traces=("share",), learns_from="token"
        )


def _extended(values: Sequence[float], length: int) -> list[float]:
    return [*values, *[values[-1]] * (length - len(values))]
