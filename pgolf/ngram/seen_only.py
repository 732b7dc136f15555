"""Exact counts blended in only where the token was seen, as published: the row it claims, and no code length.

Formula: p'(v) = (1 - α_v) p(v) + α_v c(v) / C where v is among the C tokens that followed the longest context seen, and
p'(v) = p(v), the network's, for all others; α_v = ``alpha`` · clamp(-ln p(v) / ``nll_nats``, ``low``, ``high``).
Source: #1026 (orders 7 to 2, the first context seen decides).
Not a code length: counts are real, but what the seen gain nobody pays for: unseen tokens keep their p in full and α
reads the token's own loss, so that a row sums to 1 + Σ α_v (q(v) - p(v)). The certificate refuses it by probe a.
Divided by that sum, or blended at every v with one α, it would be one.
Bytes: none. Memory and time: those of the trie, and a logarithm for each successor.
Hurts: divided by its sum it is worse than the network alone (design evaluation §2). It writes the whole claimed row: a
mixer that takes the expert's row as it is shows the published score.
"""

# V vocabulary, K contexts, X = 4; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from pgolf.ngram.pruning import counting
from pgolf.ngram.trie import (
    COUNT,
    COUNTED,
    DISTINCT,
    FIRST,
    LEAST,
    LOWEST,
    MOST_ORDER,
    NEXT,
    NODE,
    TOKEN,
    TOLD,
    check_orders,
    empty_trie,
    follow,
    learn,
    look,
    tell,
)

ALPHA, NLL_NATS, LOW, HIGH = range(4)


@register_jitable
def _claimed(p, share, own_X):
    """What is claimed for a token that was seen."""
    p = max(p, LEAST)
    alpha = own_X[ALPHA] * min(max(-math.log(np.float64(p)) / own_X[NLL_NATS], own_X[LOW]), own_X[HIGH])
    return max(np.float32((1.0 - alpha) * p + alpha * share), LEAST)


@register_jitable
def _longest(found_K5, lowest):
    for k in range(len(found_K5) - 1, lowest - 1, -1):
        if found_K5[k, TOLD] > 0:
            return k
    return -1


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The claims; and ``order``, ``total``, ``distinct`` of the longest context that was seen; 1, 0, 0: none."""
    found_K5, node_N4, entry_E4 = state.found_K5, state.node_N4, state.entry_E4
    look(state, lane, 1, out_S)
    row_V[:] = rows_EV[0]
    k = _longest(found_K5, state.given_3[LOWEST])
    if k >= 0:
        node, total = found_K5[k, NODE], found_K5[k, TOLD]
        entry = node_N4[node, FIRST]
        for _ in range(node_N4[node, DISTINCT]):
            token = entry_E4[entry, TOKEN]
            row_V[token] = _claimed(rows_EV[0, token], entry_E4[entry, COUNT] / total, state.own_KX[0])
            entry = entry_E4[entry, NEXT]


def score(state, lane, p_E, in_F, token, out_S):
    """The token's claim, to the bit, without the row; then count it."""
    found_K5 = state.found_K5
    follow(state, lane, token)
    tell(found_K5, state.given_3[LOWEST], 1, out_S)
    k = _longest(found_K5, state.given_3[LOWEST])
    if k >= 0 and found_K5[k, COUNTED] > 0:
        return _claimed(p_E[0], found_K5[k, COUNTED] / found_K5[k, TOLD], state.own_KX[0])
    return p_E[0]


class SeenOnly:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        alpha: Fraction,
        nll_nats: PositiveFloat,
        low: NonNegativeFloat,
        high: NonNegativeFloat,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``, or no α could be between 0 and 1."""
        check_orders(min_order, max_order)
        if low > high or alpha * high > 1:
            raise ConfigError(
                f"ngram.high: {high} with ngram.low = {low}; from low on, and ngram.alpha times it within 1"
            )
        self.min_order, self.max_order, self.max_memory_mb = min_order, max_order, max_memory_mb
        self._own_X = [alpha, nll_nats, low, high]

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts at all."""
        own_KX = [self._own_X] * (self.max_order - 1)
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX)
        return counting("seen_only", predict, learn, state, score=score)
