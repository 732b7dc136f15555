"""Counts of every context seen so far, the order below as their prior with a weight of its own for each order.

Formula: P_k(v) = (c_k(v) + β_k P_{k-1}(v)) / (C_k + β_k), where c_k(v) of the C_k tokens that followed the last k-1
tokens were v; k from ``min_order`` on, one β_k for each order, below them the network's row. Where C_k = 0,
P_k = P_{k-1}. Each row sums to one.
Source: MacKay and Peto 1995; #900 has the recursion over hashed counts, where it is not normalised.
Bytes: none. Memory and time: those of the trie.
Hurts: the same β for a context with one successor as for one with many, which the discounts tell apart.
"""

# V vocabulary, K contexts, X = 1; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from collections.abc import Sequence
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
    check_betas,
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
        part_K6[k, KEPT] = own_KX[k, 0]
        part_K6[k, OVER] = found_K5[k, TOLD] + own_KX[k, 0] if found_K5[k, TOLD] > 0 else 0.0


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


class Dirichlet:
    """See the module."""

    neutral: ClassVar[bool] = False
    starts_packed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        betas: Sequence[float],
        max_memory_mb: PositiveInt,
    ) -> None:
        """``betas``: of ``min_order`` and each order above. Raises ConfigError where they are none, or too many."""
        check_betas(min_order, betas)
        self.max_order = min_order + len(betas) - 1
        self.min_order, self.betas, self.max_memory_mb = min_order, betas, max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts, or not all and some are packed."""
        own_KX = [[1.0]] * (self.min_order - 2) + [[beta] for beta in self.betas]
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX, packed=facts.packed)
        return counting("dirichlet", predict, learn, state, score=score)
