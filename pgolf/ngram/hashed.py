"""Ratios of two hashed counters, as published: no distribution, and no score with it is a code length.

Formula: q(v) = min(f, c) / c with c = ctx[h mod B], f = full[g(h, v) mod B], B = 2^``bucket_bits``, two counters for
each order k and h a hash of the last k-1 tokens; the first order from the longest whose c is at least ``min_counts``
decides, also where f is 0. Without one, q = p, the network's row. ``hashing`` xor: h = ⊕ t_j P_j over the k-1 tokens,
the oldest with P_0, g = h ⊕ v P_{k-1}; polynomial: h = (h P_0 + t_j) mod B, g = h P_1 + v. Not ``clipped``: f/c within
[1e-8, 1 - 1e-8]. Counters take the tokens of a chunk when it is full.
Source: #187, #702, #727, #779, #846, #860; constants in the presets' files. #187, #702 and #727 ran in 8 processes that
each counted a part of the text; with ``ranks`` 8 so does one, else it counts all.
Not a code length: strangers in a bucket are counted in c once and in f for every v, so that Σ_v q(v) goes towards the
vocabulary's size where buckets are few (ngram spec §1, validity §3), and what is claimed falls with every collision.
The certificate refuses it by probe a.
Bytes: none. Memory: 8 B for each order. Time: O(V) look-ups all over the counters for a row.
Hurts: always; divided by its sum it is worse than the network alone.
"""

# V vocabulary, K orders, X = 2; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeInt, PositiveInt
from pgolf.ngram.counters import (
    LEAST,
    MOST_ORDER,
    SHORTEST,
    VOCABULARY,
    Counters,
    count_in_chunks,
    decided,
    learn,
    note,
    pair_bucket,
    reserve,
    seen,
    table_now,
)

NEAREST = 1e-8  # to 0 and 1, of a ratio that is not clipped
CLIPPED, UNIFORM = range(2)


@register_jitable
def _ratio(both, count, clipped):
    if clipped:
        return max(np.float32(min(both, count) / count), LEAST)
    return np.float32(min(max(both / count, NEAREST), 1.0 - NEAREST))


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The ratios; and ``order`` and ``total`` of the context that decides, 1 and 0 where none does; ``distinct`` is not
    known and 0."""
    k, hashed, count = decided(state, lane, out_S)
    if k < 0:
        for v in range(len(row_V)):
            row_V[v] = np.float32(1.0 / len(row_V)) if state.own_KX[0, UNIFORM] > 0 else rows_EV[0, v]
    else:
        length, clipped = state.given_9[SHORTEST] + k - 1, state.own_KX[0, CLIPPED] > 0
        pair_B = state.pair_KB[table_now(state, k)]
        for v in range(len(row_V)):
            row_V[v] = _ratio(pair_B[pair_bucket(hashed, length, v, state.by_P, state.given_9)], count, clipped)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's ratio, to the bit, without the row; then count it."""
    k, hashed, count = decided(state, lane, out_S)
    if k < 0:
        p = np.float32(1.0 / state.given_9[VOCABULARY]) if state.own_KX[0, UNIFORM] > 0 else p_E[0]
    else:
        bucket = pair_bucket(hashed, state.given_9[SHORTEST] + k - 1, token, state.by_P, state.given_9)
        p = _ratio(state.pair_KB[table_now(state, k), bucket], count, state.own_KX[0, CLIPPED] > 0)
    note(state, k, hashed, token)
    count_in_chunks(state, lane, token)
    return p


class Hashed:
    """See the module, and ``Counters``. ``unseen``: what takes the place of the ratios where no order decides."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        bucket_bits: Annotated[int, Between(1, 30)],
        hashing: Literal["xor", "polynomial"],
        multipliers: Sequence[int],
        beyond: Literal["wrap", "last"],
        min_counts: Sequence[int],
        clipped: bool,
        unseen: Literal["network", "uniform"],
        chunk_tokens: PositiveInt,
        straddles: bool,
        start_tokens: NonNegativeInt,
        ranks: PositiveInt,
        rank_tokens: NonNegativeInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError: see ``Counters``."""
        self.counters = Counters(
            min_order,
            max_order,
            bucket_bits,
            hashing,
            multipliers,
            beyond,
            min_counts,
            chunk_tokens,
            straddles,
            start_tokens,
            max_memory_mb,
            ranks,
            rank_tokens,
        )
        self._own_X = [float(clipped), float(unseen == "uniform")]

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert."""
        state = self.counters.state(facts, [self._own_X] * self.counters.orders)
        signals = ("order", "total", "distinct")
        return (
            Stage(
                "hashed", predict, learn, state, signals, score=score, reserve=reserve, learns_from="token", seen=seen
            ),
        )
