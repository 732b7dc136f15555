"""Counts of every context seen so far, from the longest down to the network: absolute discounting, in an exact trie.

Formula: P_k(v) = (max(c_k(v) - D, 0) + D d_k P_{k-1}(v)) / C_k, where c_k(v) of the C_k tokens that followed the last
k-1 tokens were v, d_k of them distinct; k from ``min_order`` to ``max_order``, below them the network's row. Where
C_k = 0, P_k = P_{k-1}. Each row sums to one: what the discount takes, D d_k / C_k, goes to the order below.
Source: Ney, Essen and Kneser 1994 (interpolated absolute discounting).
Bytes: none. Memory and time: those of the trie.
Hurts: alone, wherever the network is sure and the counts are few; a mixer chooses.
"""

# V vocabulary, K contexts, X = 1; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar

from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.pruning import counting
from pgolf.ngram.trie import (
    KEPT,
    KINDS,
    LOWEST,
    MOST_ORDER,
    OVER,
    TAKEN,
    TOLD,
    check_orders,
    empty_trie,
    follow,
    learn,
    look,
    price,
    spread,
    tell,
)


@register_jitable
def _parts(found_K5, part_K6, own_KX):
    for k in range(len(part_K6)):
        part_K6[k, TAKEN] = own_KX[k, 0]
        part_K6[k, KEPT] = own_KX[k, 0] * found_K5[k, KINDS]
        part_K6[k, OVER] = found_K5[k, TOLD]


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the longest context that was seen, 1, 0, 0 where none was."""
    look(state, lane, 1, out_S)
    _parts(state.found_K5, state.part_K6, state.own_KX)
    spread(state.node_N4, state.entry_E4, state.found_K5, state.part_K6, state.given_3[LOWEST], rows_EV[0], row_V)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then count it."""
    follow(state, lane, token)
    tell(state.found_K5, state.given_3[LOWEST], 1, out_S)
    _parts(state.found_K5, state.part_K6, state.own_KX)
    return price(state.found_K5, state.part_K6, state.given_3[LOWEST], p_E[0])


class Backoff:
    """See the module."""

    neutral: ClassVar[bool] = False
    starts_packed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        discount: Annotated[float, Between(0, 1, open_low=True)],
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``."""
        check_orders(min_order, max_order)
        self.min_order, self.max_order = min_order, max_order
        self.discount, self.max_memory_mb = discount, max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts, or not all and some are packed."""
        own_KX = [[self.discount]] * (self.max_order - 1)
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX, packed=facts.packed)
        return counting("backoff", predict, learn, state, score=score)
