"""Counts of every context seen so far, from the longest down to the network: each new successor counts as an escape.

Formula: P_k(v) = (c_k(v) + d_k P_{k-1}(v)) / (C_k + d_k), where c_k(v) of the C_k tokens that followed the last k-1
tokens were v, d_k of them distinct; k from ``min_order`` to ``max_order``, below them the network's row. Where C_k = 0,
P_k = P_{k-1}. Each row sums to one.
Source: Witten and Bell 1991 (interpolated; PPM's method C, Moffat 1990).
Bytes: none. Memory and time: those of the trie.
Hurts: alone, wherever the network is sure and the counts are few; trusts a context that was seen once by one half.
"""

# V vocabulary, K contexts; in a kernel's arguments E rows, F signals in, S signals out

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
def _parts(found_K5, part_K6):
    for k in range(len(part_K6)):
        part_K6[k, KEPT] = found_K5[k, KINDS]
        part_K6[k, OVER] = found_K5[k, TOLD] + found_K5[k, KINDS]


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the longest context that was seen, 1, 0, 0 where none was."""
    look(state, lane, 1, out_S)
    _parts(state.found_K5, state.part_K6)
    spread(state.node_N4, state.entry_E4, state.found_K5, state.part_K6, state.given_3[LOWEST], rows_EV[0], row_V)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then count it."""
    follow(state, lane, token)
    tell(state.found_K5, state.given_3[LOWEST], 1, out_S)
    _parts(state.found_K5, state.part_K6)
    return price(state.found_K5, state.part_K6, state.given_3[LOWEST], p_E[0])


class WittenBell:
    """See the module."""

    neutral: ClassVar[bool] = False
    starts_packed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``."""
        check_orders(min_order, max_order)
        self.min_order, self.max_order, self.max_memory_mb = min_order, max_order, max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts, or not all and some are packed."""
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, packed=facts.packed)
        return counting("witten_bell", predict, learn, state, score=score)
