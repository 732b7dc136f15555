"""The experts' share by the network's entropy, times how a confidence signal compares with its largest value.

Formula: p = (1 - a) p_1 + a (mean of the experts' rows), a = min(1, (base + span sigma(slope (H - centre))) (low +
high s / max s)), the maximum over all positions up to this one, or the constant ``most``, which s may exceed.
Source: pull request 187 (low 0.5, high 1.0, s how far pre-enrichment moved the token, ``moved``), whose maximum ran
over a batch of 16,384 positions, later ones too, which no decoder can know: what is relative to that can be no signal
of a position, and no mixer has it (``pgolf.proof.published.batch_maximum``); here it is of the past.
Bytes: none. Time: O(E V) a token, and the signals.
Hurts: the first positions are each their own maximum; one large value keeps all later shares low.
"""

# E rows, the network's first; V vocabulary, F signals in (entropy, the confidence), S signals out

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat
from pgolf.mixer.shares import blend, blended, need_experts


class ConfidenceShares(NamedTuple):
    most_1: np.ndarray  # float64: the largest value so far
    setting_7: np.ndarray  # float64: base, span, slope, centre, low, high, the constant or 0


@register_jitable
def _share(state, in_F):
    base, span, slope, centre, low, high, constant = state.setting_7
    value = np.float64(in_F[1])
    most = constant if constant > 0.0 else max(state.most_1[0], value)
    relative = value / most if most > 0.0 else 1.0
    share = base + span / (1.0 + math.exp(-slope * (np.float64(in_F[0]) - centre)))
    return min(share * (low + high * relative), 1.0)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture, and the experts' share."""
    share = _share(state, in_F)
    out_S[0] = share
    blend(share, rows_EV, row_V)


def learn(state, lane, rows_EV, in_F, token):
    """Remember the largest value."""
    state.most_1[0] = max(state.most_1[0], np.float64(in_F[1]))


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit; then remember the largest value."""
    share = _share(state, in_F)
    out_S[0] = share
    p = blended(share, p_E)
    state.most_1[0] = max(state.most_1[0], np.float64(in_F[1]))
    return p


class Confidence:
    """See the module. ``signal``: s, of the network or an expert; not negative. ``most`` None: the largest so far."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        signal: str,
        base: Fraction,
        span: Fraction,
        slope: float,
        centre: float,
        low: NonNegativeFloat,
        high: NonNegativeFloat,
        most: PositiveFloat | None,
    ) -> None:
        self.signal, self.settings = signal, (base, span, slope, centre, low, high, most or 0.0)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        need_experts("confidence", experts)
        state = ConfidenceShares(np.zeros(1), np.array(self.settings, dtype=np.float64))
        needs = ("entropy", self.signal)
        return Stage(
            "confidence", predict, learn, state, ("share",), needs, score=score, traces=("share",), learns_from="rows"
        )
