"""Counts of every context seen so far; below the longest, of how many different tokens stood before what followed.

Formula: P_k(v) = (max(c_k(v) - D, 0) + D d_k P_{k-1}(v)) / C_k. For k = ``max_order`` v followed the last k-1 tokens
c_k(v) times; for a smaller k, c_k(v) is how many different tokens were seen before these k-1 tokens and v (a lane's
beginning is one). C_k is the sum of the c_k, d_k how many are not zero; below ``min_order`` is the network's row.
Where C_k = 0, P_k = P_{k-1}. Each row sums to one.
Source: Kneser and Ney 1995; interpolated as Chen and Goodman 1998 have it, with one discount.
Bytes: none. Memory: those of the trie and a quarter more. Time: of the trie, and a step for each order more.
Hurts: a longest context that is hardly ever seen leaves all to counts that know how varied the past is, not how often.
"""

# V vocabulary, N nodes, E entries, K contexts, X = 1; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar

from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.pruning import counting
from pgolf.ngram.trie import (
    COUNTED,
    DISTINCT,
    FIRST,
    KEPT,
    KINDS,
    LAST,
    LOWEST,
    MOST_ORDER,
    NODE,
    NODES,
    OVER,
    TAKEN,
    TOLD,
    WHERE,
    WHICH,
    check_orders,
    empty_trie,
    follow,
    look,
    price,
    spread,
    tell,
)

BEFORE = 4  # of an entry: how many different tokens stood before it and its context; of a node: the sum of its entries'


@register_jitable
def _parts(found_K5, part_K6, own_KX):
    for k in range(len(part_K6)):
        part_K6[k, TAKEN] = own_KX[k, 0]
        part_K6[k, KEPT] = own_KX[k, 0] * found_K5[k, KINDS]
        part_K6[k, OVER] = found_K5[k, TOLD]


@register_jitable
def _turn(node_N5, entry_E5, found_K5, nodes, all_nodes):
    """What was found, in numbers of tokens before it, but of the longest; then count the last token in these, too.

    What stands before an n-gram is new where the longer n-gram is. A node that was made for the last token, ``nodes``
    being there before, has one entry at most, seen once.
    """
    for k in range(len(found_K5) - 1):
        node, entry = found_K5[k, NODE], found_K5[k, WHERE]
        if node < 0:
            continue
        found_K5[k, TOLD] = node_N5[node, BEFORE]
        found_K5[k, COUNTED] = entry_E5[entry, BEFORE] if entry >= 0 else 0
        if found_K5[k + 1, COUNTED] == 0:
            node_N5[node, BEFORE] += 1
            entry_E5[entry if entry >= 0 else node_N5[node, LAST], BEFORE] += 1
    for node in range(nodes, all_nodes):
        if node_N5[node, DISTINCT] > 0:
            node_N5[node, BEFORE] = 1
            entry_E5[node_N5[node, FIRST], BEFORE] = 1


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the longest context that was seen, 1, 0, 0 where none was."""
    found_K5 = state.found_K5
    look(state, lane, 1, out_S)
    for k in range(len(found_K5) - 1):
        found_K5[k, TOLD] = state.node_N4[found_K5[k, NODE], BEFORE] if found_K5[k, NODE] >= 0 else 0
    _parts(found_K5, state.part_K6, state.own_KX)
    spread(state.node_N4, state.entry_E4, found_K5, state.part_K6, state.given_3[LOWEST], rows_EV[0], row_V)


def learn(state, lane, rows_EV, in_F, token):
    """Count the token."""
    nodes = state.size_4[NODES]
    follow(state, lane, token)
    _turn(state.node_N4, state.entry_E4, state.found_K5, nodes, state.size_4[NODES])


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then count it."""
    nodes = state.size_4[NODES]
    follow(state, lane, token)
    tell(state.found_K5, state.given_3[LOWEST], 1, out_S)
    _turn(state.node_N4, state.entry_E4, state.found_K5, nodes, state.size_4[NODES])
    _parts(state.found_K5, state.part_K6, state.own_KX)
    return price(state.found_K5, state.part_K6, state.given_3[LOWEST], p_E[0])


class KneserNey:
    """See the module."""

    neutral: ClassVar[bool] = False

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
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts at all."""
        own_KX = [[self.discount]] * (self.max_order - 1)
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX, columns=BEFORE + 1)
        state.part_K6[:-1, WHICH] = BEFORE
        return counting("kneser_ney", predict, learn, state, score=score)
