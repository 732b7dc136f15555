"""Counts of the longest context seen often enough, and of no other: strict back-off.

Formula: p' = (1 - α) p + α q with q = c/C of the longest context that was seen ``min_total`` times or more: c of the C
tokens that followed it were v. Where there is none, p' = p. Always, also where c = 0: the row sums to one.
Source: #1026, which blends only where c > 0 and so has rows beyond one; ngram spec §9.3.
Bytes: none. Memory and time: those of the trie.
Hurts: α = 1 gives nothing to what never followed, which only a mixer can bear; a smaller α is for none beside it.
"""

# V vocabulary, K contexts, X = 2; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar

from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.pruning import counting
from pgolf.ngram.trie import (
    KEPT,
    LOWEST,
    MOST_ORDER,
    OVER,
    TOLD,
    check_orders,
    empty_trie,
    follow,
    learn,
    look,
    met,
    price,
    spread,
    tell,
)

ALPHA, MIN_TOTAL = range(2)


@register_jitable
def _parts(found_K5, part_K6, lowest, own_KX):
    decided = False
    for k in range(len(part_K6) - 1, -1, -1):
        decides = not decided and k >= lowest and found_K5[k, TOLD] >= own_KX[k, MIN_TOTAL]
        alpha, total = own_KX[k, ALPHA], found_K5[k, TOLD]
        part_K6[k, KEPT] = (1.0 - alpha) / alpha * total if decides else 0.0
        part_K6[k, OVER] = total / alpha if decides else 0.0
        decided = decided or decides


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the context that decides, 1, 0, 0 where none does."""
    lowest = state.given_3[LOWEST]
    look(state, lane, state.own_KX[0, MIN_TOTAL], out_S)
    _parts(state.found_K5, state.part_K6, lowest, state.own_KX)
    spread(state.node_N4, state.entry_E4, state.found_K5, state.part_K6, lowest, rows_EV[0], row_V)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then count it."""
    lowest = state.given_3[LOWEST]
    follow(state, lane, token)
    tell(state.found_K5, lowest, state.own_KX[0, MIN_TOTAL], out_S)
    _parts(state.found_K5, state.part_K6, lowest, state.own_KX)
    return price(state.found_K5, state.part_K6, lowest, p_E[0])


def seen(state):
    """See ``Stage``, of the context that decides."""
    return met(state, state.own_KX[0, MIN_TOTAL])


class StrictBackoff:
    """See the module."""

    neutral: ClassVar[bool] = False
    starts_packed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        min_total: PositiveInt,
        alpha: Annotated[float, Between(0, 1, open_low=True)],
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``."""
        check_orders(min_order, max_order)
        self.min_order, self.max_order = min_order, max_order
        self.min_total, self.alpha, self.max_memory_mb = min_total, alpha, max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts, or not all and some are packed."""
        own_KX = [[self.alpha, self.min_total]] * (self.max_order - 1)
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX, packed=facts.packed)
        return counting("strict", predict, learn, state, score=score, seen=seen)
