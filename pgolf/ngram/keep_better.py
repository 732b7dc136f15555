"""Exact counts of any order that has seen the token, kept where they are better, as published: no code length.

Formula: p'(v) = max(p(v), (1 - α) p(v) + α c(v) / C) with the longest context that was followed ``min_total`` times or
more and by v; p'(v) = p(v), the network's, where none was, and of the whole row where max p is above ``sure``.
Source: #659 (orders 5 to 2). Its counts took in overlapping windows, each token about 16 times; here each once.
Not a code length: which context speaks, and whether it is heard, depends on the token, and no entry is ever lowered: a
row sums to 1 and what was gained. The certificate refuses it by probe a. The rule by max p is harmless.
Bytes: none. Memory and time: those of the trie; no token alone.
Hurts: divided by its sum it is worse than the same counts blended in everywhere.
"""

# V vocabulary, K contexts, X = 3; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, Fraction, PositiveInt
from pgolf.ngram.pruning import counting
from pgolf.ngram.trie import (
    COUNT,
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
    learn,
    look,
    met,
)

ALPHA, MIN_TOTAL, SURE = range(3)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The claims; and ``order``, ``total``, ``distinct`` of the longest context that may speak; 1, 0, 0: none."""
    found_K5, node_N4, entry_E4, own_X = state.found_K5, state.node_N4, state.entry_E4, state.own_KX[0]
    look(state, lane, own_X[MIN_TOTAL], out_S)
    largest = rows_EV[0, 0]
    for v in range(len(row_V)):
        row_V[v] = max(rows_EV[0, v], LEAST)
        largest = max(largest, rows_EV[0, v])
    if largest > own_X[SURE]:
        return
    for k in range(state.given_3[LOWEST], len(found_K5)):  # a longer context has the last word
        if found_K5[k, TOLD] >= own_X[MIN_TOTAL]:
            node = found_K5[k, NODE]
            entry = node_N4[node, FIRST]
            for _ in range(node_N4[node, DISTINCT]):
                token = entry_E4[entry, TOKEN]
                p = max(rows_EV[0, token], LEAST)
                blended = (1.0 - own_X[ALPHA]) * p + own_X[ALPHA] * (entry_E4[entry, COUNT] / found_K5[k, TOLD])
                row_V[token] = max(p, np.float32(blended))
                entry = entry_E4[entry, NEXT]


def seen(state):
    """See ``Stage``, of the longest context that may speak."""
    return met(state, state.own_KX[0, MIN_TOTAL])


class KeepBetter:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        min_total: PositiveInt,
        alpha: Fraction,
        sure: Fraction,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``."""
        check_orders(min_order, max_order)
        self.min_order, self.max_order, self.max_memory_mb = min_order, max_order, max_memory_mb
        self._own_X = [alpha, min_total, sure]

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts at all."""
        own_KX = [self._own_X] * (self.max_order - 1)
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX)
        return counting("keep_better", predict, learn, state, seen=seen)
