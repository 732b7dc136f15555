"""Counts of every context seen so far, interpolated with weights that are learnt from how each context has predicted.

Formula: P_k(v) = λ_b c_k(v) / C_k + (1 - λ_b) P_{k-1}(v), where c_k(v) of the C_k tokens that followed the last k-1
tokens were v, and the bucket b is the order, ⌊log2 C_k⌋ and the number of distinct ones; below the shortest order is
the network's row. After the token x, λ_b is the mean of λ_b c_k(x) / (C_k P_k(x)) over all times that b was used, by
which the counts and not the order below had x; ``prior_share`` counts for ``prior_weight`` times. Rows sum to one.
Source: Jelinek and Mercer 1980 (deleted interpolation, weights by count); the token to come is what is held out.
Bytes: none. Memory: those of the trie. Time: a division and a step for each order more.
Hurts: a short stream, in which buckets are rarely used.
"""

# V vocabulary, K contexts, B buckets of an order, X = 2 B; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar

from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveFloat, PositiveInt
from pgolf.ngram.pruning import counting
from pgolf.ngram.trie import (
    COUNTED,
    KEPT,
    KINDS,
    LOWEST,
    MOST_ORDER,
    OVER,
    TOLD,
    check_orders,
    empty_trie,
    follow,
    look,
    price,
    spread,
    tell,
)

TOTALS, DISTINCTS = 8, 5  # buckets by ⌊log2 C⌋, the last open; by d, the last open
BUCKETS = TOTALS * DISTINCTS


@register_jitable
def _bucket(total, distinct):
    """The first of the bucket's two numbers: how often the counts had it, and after it how often it was used."""
    place = 0
    while place + 1 < TOTALS and total >= 2 << place:
        place += 1
    return 2 * (place * DISTINCTS + min(distinct, DISTINCTS) - 1)


@register_jitable
def _parts(found_K5, part_K6, own_KX):
    for k in range(len(part_K6)):
        part_K6[k, OVER] = 0.0
        total = found_K5[k, TOLD]
        if total > 0:
            b = _bucket(total, found_K5[k, KINDS])
            had, used = own_KX[k, b], own_KX[k, b + 1]
            part_K6[k, KEPT] = (used - had) / had * total
            part_K6[k, OVER] = used / had * total


@register_jitable
def _teach(found_K5, lowest, own_KX, own):
    """The token's probability from the network's ``own`` upwards, and who had it."""
    below = float(own)
    for k in range(lowest, len(found_K5)):
        total = found_K5[k, TOLD]
        if total > 0:
            b = _bucket(total, found_K5[k, KINDS])
            share = own_KX[k, b] / own_KX[k, b + 1]
            counted = share * found_K5[k, COUNTED] / total
            p = counted + (1.0 - share) * below
            own_KX[k, b] += counted / p
            own_KX[k, b + 1] += 1.0
            below = p


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the longest context that was seen, 1, 0, 0 where none was."""
    look(state, lane, 1, out_S)
    _parts(state.found_K5, state.part_K6, state.own_KX)
    spread(state.node_N4, state.entry_E4, state.found_K5, state.part_K6, state.given_3[LOWEST], rows_EV[0], row_V)


def learn(state, lane, rows_EV, in_F, token):
    """Count the token, and who had it."""
    follow(state, lane, token)
    _teach(state.found_K5, state.given_3[LOWEST], state.own_KX, rows_EV[0, token])


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then learn it."""
    follow(state, lane, token)
    tell(state.found_K5, state.given_3[LOWEST], 1, out_S)
    _parts(state.found_K5, state.part_K6, state.own_KX)
    p = price(state.found_K5, state.part_K6, state.given_3[LOWEST], p_E[0])
    _teach(state.found_K5, state.given_3[LOWEST], state.own_KX, p_E[0])
    return p


class Interpolated:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        prior_share: Annotated[float, Between(0, 1, open_low=True)],
        prior_weight: PositiveFloat,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``, for a ``prior_share`` of 1."""
        check_orders(min_order, max_order)
        if prior_share == 1:
            raise ConfigError("ngram.prior_share: 1 leaves nothing to the order below; less than 1")
        self.min_order, self.max_order, self.max_memory_mb = min_order, max_order, max_memory_mb
        self.prior_share, self.prior_weight = prior_share, prior_weight

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError where ``max_memory_mb`` hold no counts at all."""
        own_KX = [[self.prior_share * self.prior_weight, self.prior_weight] * BUCKETS] * (self.max_order - 1)
        state = empty_trie(facts, self.min_order, self.max_order, self.max_memory_mb, own_KX)
        return counting("interpolated", predict, learn, state, score=score, learns_from="rows")
