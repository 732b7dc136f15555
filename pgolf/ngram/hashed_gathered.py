"""Hashed counters gathered for the whole vocabulary and divided by their own sum: a code length, and a poor one.

Formula: q(v) = min(f_v, c) / Σ_u min(f_u, c), f_v and c the counters of pair and context of the longest order whose c
is at least ``min_counts`` (see the leaf ``counters``); q = p, the network's row, where none is or the sum is 0. Rows
sum to one.
Source: #978, which divided #972's counts by what they sum to: 0.3922 became 1.5134, the network alone having 1.1474.
Bytes: none. Memory: 8 B for each order and bucket. Time: O(V) look-ups all over the counters for a row; no token alone.
Hurts: always: what strangers put into the buckets of other tokens is noise that is now paid for. Exact counts have
none.
"""

# V vocabulary, K orders; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.counters import LEAST, MOST_ORDER, SHORTEST, Counters, decided, learn, pair_bucket, reserve, seen


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order`` and ``total`` of the context that decides, 1 and 0 where none does; ``distinct`` is not
    known and 0."""
    k, hashed, count = decided(state, lane, out_S)
    total = np.int64(0)
    if k >= 0:
        length = state.given_9[SHORTEST] + k - 1
        for v in range(len(row_V)):
            both = min(np.int64(state.pair_KB[k, pair_bucket(hashed, length, v, state.by_P, state.given_9)]), count)
            total += both
            row_V[v] = both
    if total > 0:
        unit = np.float32(1.0 / total)
        for v in range(len(row_V)):
            row_V[v] = max(unit * row_V[v], LEAST)
    else:
        row_V[:] = rows_EV[0]


class HashedGathered:
    """See the module, and ``Counters``."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        bucket_bits: Annotated[int, Between(1, 30)],
        multipliers: Sequence[int],
        beyond: Literal["wrap", "last"],
        min_counts: Sequence[int],
        chunk_tokens: PositiveInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError: see ``Counters``."""
        self.counters = Counters(
            min_order=min_order,
            max_order=max_order,
            bucket_bits=bucket_bits,
            hashing="xor",
            multipliers=multipliers,
            beyond=beyond,
            min_counts=min_counts,
            chunk_tokens=chunk_tokens,
            straddles=True,
            start_tokens=0,
            max_memory_mb=max_memory_mb,
        )

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert."""
        state = self.counters.state(facts, [[0.0]] * self.counters.orders)
        return (
            Stage(
                "hashed_gathered",
                predict,
                learn,
                state,
                ("order", "total", "distinct"),
                reserve=reserve,
                learns_from="token",
                seen=seen,
            ),
        )
