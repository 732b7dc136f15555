"""One token, the hint, is made likelier: the expert's favourite where the expert is sure enough of it.

Formula: p'(v) = p_1(v) e^(b [v = h]) / (1 + p_1(h) (e^b - 1)), h the most probable token of the expert whose expected
gain q(h) b - ln(1 + p_1(h) (e^b - 1)) is largest, among those with q(h) >= ``threshold``; b = B (1 - p_1(h))^gamma, B
learnt by gradient: B += rate (1 - p_1(h))^gamma ([x = h] - p'(h)). Without a hint the row is the network's.
Source: pull requests 1145 (fixed b, one context of 15 tokens: ``ngram=backoff ngram.min_order=16 ngram.max_order=16``),
2050 (b weighed by Hedge; here it is learnt) and 2129 (gamma = 1).
Bytes: none. Time: O(E V) a token: the favourites must be found, in whole rows of the experts.
Hurts: little, and helps little: one token of a row, and only where the expert is all but certain.
"""

# E rows, the network's first; V vocabulary, F signals in, S signals out

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Fraction, NonNegativeFloat

MOST_TILT = 20.0  # so that no row comes to nothing


class TiltStrength(NamedTuple):
    strength_1: np.ndarray  # float64: B
    setting_3: np.ndarray  # float64: threshold, gamma, rate


@register_jitable
def _hint(state, rows_EV):
    """(The hint, its tilt), (-1, 0) where nobody is sure."""
    hint, tilt, most = np.int64(-1), 0.0, -np.inf
    for e in range(1, len(rows_EV)):
        best = np.int64(0)
        for v in range(rows_EV.shape[1]):
            if rows_EV[e, v] > rows_EV[e, best]:
                best = v
        share, own = np.float64(rows_EV[e, best]), min(np.float64(rows_EV[0, best]), 1.0)
        if share >= state.setting_3[0]:
            strength = state.strength_1[0] * (1.0 - own) ** state.setting_3[1]
            gain = share * strength - math.log1p(own * math.expm1(strength))
            if gain > most:
                hint, tilt, most = best, strength, gain
    return hint, tilt


@register_jitable
def _scale(rows_EV, hint, tilt):
    """What all other tokens are multiplied with."""
    return 1.0 / (1.0 + np.float64(rows_EV[0, hint]) * math.expm1(tilt)) if hint >= 0 else 1.0


@register_jitable
def _teach(state, rows_EV, hint, tilt, token):
    if hint >= 0 and state.setting_3[2] > 0.0:
        own = min(np.float64(rows_EV[0, hint]), 1.0)
        tilted = own * math.exp(tilt) / (1.0 + own * math.expm1(tilt))
        came = 1.0 if token == hint else 0.0
        step = state.setting_3[2] * (1.0 - own) ** state.setting_3[1] * (came - tilted)
        state.strength_1[0] = min(max(state.strength_1[0] + step, -MOST_TILT), MOST_TILT)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The tilted row, and how much, 0 without a hint."""
    hint, tilt = _hint(state, rows_EV)
    out_S[0] = tilt
    scale = _scale(rows_EV, hint, tilt)
    scale32 = np.float32(scale)
    for v in range(len(row_V)):
        row_V[v] = scale32 * rows_EV[0, v]
    if hint >= 0:
        row_V[hint] = np.float32(scale * math.exp(tilt) * np.float64(rows_EV[0, hint]))


def learn(state, lane, rows_EV, in_F, token):
    """Tilt more if the hint came, less if not."""
    hint, tilt = _hint(state, rows_EV)
    _teach(state, rows_EV, hint, tilt, token)


def price(state, lane, rows_EV, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then learn it."""
    hint, tilt = _hint(state, rows_EV)
    out_S[0] = tilt
    scale = _scale(rows_EV, hint, tilt)
    if token == hint:
        p = np.float32(scale * math.exp(tilt) * np.float64(rows_EV[0, hint]))
    else:
        p = np.float32(scale) * rows_EV[0, token]
    _teach(state, rows_EV, hint, tilt, token)
    return p


class Tilt:
    """See the module. ``strength``: B, in nats, before anything is learnt."""

    neutral: ClassVar[bool] = False

    def __init__(
        self, *, threshold: Fraction, strength: NonNegativeFloat, gamma: NonNegativeFloat, rate: NonNegativeFloat
    ) -> None:
        """Raises ConfigError for a strength that would leave the other tokens nothing."""
        if strength > MOST_TILT:
            raise ConfigError(f"mixer.strength: {strength} is too much for a row of others; {MOST_TILT:g} is the most")
        self.strength, self.settings = strength, (threshold, gamma, rate)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where no expert could hint."""
        if not experts:
            raise ConfigError("mixer: tilt has nobody to hint at a token; choose an ngram, or mixer=none")
        state = TiltStrength(np.array([self.strength], dtype=np.float64), np.array(self.settings, dtype=np.float64))
        return Stage("tilt", predict, learn, state, ("tilt",), price=price, traces=("tilt",), learns_from="rows")
