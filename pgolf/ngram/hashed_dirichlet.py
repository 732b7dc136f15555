"""The Dirichlet recursion over hashed counters, as published: no distribution, and no score with it is a code length.

Formula: p_k(v) = (min(f_v, c) + β_k p_{k-1}(v)) / (c + β_k) for each order k from ``min_order`` up whose c is above 0,
f_v and c the counters of pair and context (see the leaf ``counters``); below them the network's row.
Source: #900 (orders 2 to 15), after it #948, #1030, #1056, #1114.
Not a code length: with exact counts the recursion sums to one, whence its good name; here strangers are counted in c
once and in f for every v (validity §3). The certificate refuses it by probe a. Its like is ``dirichlet``.
Bytes: none. Memory: 8 B for each order and bucket. Time: O(V) look-ups all over the counters for each order.
Hurts: always; divided by its sum it is worse than the network alone.
"""

# V vocabulary, K orders, X = 1; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.counters import (
    BITS,
    LEAST,
    MOST_ORDER,
    SHORTEST,
    Counters,
    context_hash,
    count_in_chunks,
    learn,
    note,
    pair_bucket,
    reserve,
    seen,
)
from pgolf.ngram.trie import check_betas


@register_jitable
def _seen(state, lane, k):
    """(hash of the order's context, its count); 0: not seen."""
    hashed = context_hash(state.past_LT[lane], state.given_9[SHORTEST] + k - 1, state.by_P, state.given_9)
    if hashed < 0:
        return hashed, np.int64(0)
    return hashed, np.int64(state.context_KB[k, hashed & ((1 << state.given_9[BITS]) - 1)])


@register_jitable
def _step(state, k, hashed, count, token, below):
    bucket = pair_bucket(hashed, state.given_9[SHORTEST] + k - 1, token, state.by_P, state.given_9)
    beta = state.own_KX[k, 0]
    both = min(np.int64(state.pair_KB[k, bucket]), count)
    return np.float32((both + beta * np.float64(below)) / (count + beta))


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The claims; and ``order`` and ``total`` of the longest context that was seen, 1 and 0 where none was;
    ``distinct`` is not known and 0."""
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    row_V[:] = rows_EV[0]
    for k in range(len(state.least_K)):
        hashed, count = _seen(state, lane, k)
        if count > 0:
            out_S[0], out_S[1] = state.given_9[SHORTEST] + k, count
            for v in range(len(row_V)):
                row_V[v] = max(_step(state, k, hashed, count, v, row_V[v]), LEAST)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's claim, to the bit, without the row; then count it."""
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    p, longest, longest_hash = p_E[0], -1, np.int64(-1)
    for k in range(len(state.least_K)):
        hashed, count = _seen(state, lane, k)
        if count > 0:
            longest, longest_hash = k, hashed
            out_S[0], out_S[1] = state.given_9[SHORTEST] + k, count
            p = max(_step(state, k, hashed, count, token, p), LEAST)
    note(state, longest, longest_hash, token)
    count_in_chunks(state, lane, token)
    return p


class HashedDirichlet:
    """See the module, and ``Counters``. ``betas``: of ``min_order`` and each order above."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        betas: Sequence[float],
        bucket_bits: Annotated[int, Between(1, 30)],
        multipliers: Sequence[int],
        beyond: Literal["wrap", "last"],
        chunk_tokens: PositiveInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError: see ``Counters``; for betas that are none or too many."""
        check_betas(min_order, betas)
        self.betas = betas
        self.counters = Counters(
            min_order=min_order,
            max_order=min_order + len(betas) - 1,
            bucket_bits=bucket_bits,
            hashing="xor",
            multipliers=multipliers,
            beyond=beyond,
            min_counts=[1],
            chunk_tokens=chunk_tokens,
            straddles=True,
            start_tokens=0,
            max_memory_mb=max_memory_mb,
        )

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert."""
        state = self.counters.state(facts, [[beta] for beta in self.betas])
        signals = ("order", "total", "distinct")
        return (
            Stage(
                "hashed_dirichlet",
                predict,
                learn,
                state,
                signals,
                score=score,
                reserve=reserve,
                learns_from="token",
                seen=seen,
            ),
        )
