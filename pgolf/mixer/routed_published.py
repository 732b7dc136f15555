"""NOT A CODE LENGTH: the routing head over ratios of hashed counters, as published; rows do not sum to one.

Formula: p(v) = sum_k w_k q_k(v), q_1 the network's row, q_k(v) = min(f, c) / c of order k as in ``ngram=hashed``, its
two counters apart from those of other orders; with s the softmax of the gates of the network and of those orders whose
context was counted at least ``min_counts`` times, w_1 = f + (1 - f) s_1 and w_k = (1 - f) s_k, f = ``floor``. Counters
take the tokens of a chunk when it is full; before ``start_tokens`` of them p is the network's.
Source: pull requests 834 (orders 2-7, chunks of 1,048,576) and 860 (2-12, 8 M buckets, 32,768), spec ngram §4. Their
heads were trained over such ratios, counted in all of the training text, the batch at hand among it; the one of
``arch/addon=routing_head`` over distributions. #834's head gave its 7-gram +8.1 and the network -5.5: it had learnt
that the ratio is about one whatever comes.
Not a code length: strangers in a bucket are counted in c once and in f for every v, so that each q_k sums to more than
one (spec validity §3); the certificate refuses it by probe a. Valid: ``mixer=routed``.
Bytes: the head's. Memory: 8 B for each order and bucket. Time: O(K V) look-ups all over the counters for a row.
Hurts: always; what is claimed is no score.
"""

# W gates, the network's first; K orders, X = 2; in a kernel's arguments E rows, F signals in (the gates), V vocabulary,
# S signals out

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, Fraction, NonNegativeInt, PositiveInt
from pgolf.mixer.gates import check_gates, check_orders, order_weights
from pgolf.ngram.counters import (
    BITS,
    COUNTED,
    LEAST,
    MOST_ORDER,
    SHORTEST,
    START,
    Counters,
    HashedCounters,
    context_hash,
    count_in_chunks,
    pair_bucket,
    reserve,
)

GATE, FLOOR = range(2)  # of an order's own numbers: its place among the gates, 0: the head has none for it


@register_jitable
def _context(state, lane, k):
    """(hash, count) of order k's context, a count of 0 where it is not to be asked."""
    given_9 = state.given_9
    if state.own_KX[k, GATE] > 0 and state.size_3[COUNTED] >= given_9[START]:
        hashed = context_hash(state.past_LT[lane], given_9[SHORTEST] + k - 1, state.by_P, given_9)
        if hashed >= 0:
            count = np.int64(state.context_KB[k, hashed & ((1 << given_9[BITS]) - 1)])
            if count >= state.least_K[k]:
                return hashed, count
    return np.int64(-1), np.int64(0)


@register_jitable
def _sum_of_gates(state, lane, gate_W):
    """(largest gate of those that count, the sum of their exponentials below it)."""
    most = np.float64(gate_W[0])
    for k in range(len(state.least_K)):
        _, count = _context(state, lane, k)
        if count > 0:
            most = max(most, np.float64(gate_W[int(state.own_KX[k, GATE])]))
    total = math.exp(np.float64(gate_W[0]) - most)
    for k in range(len(state.least_K)):
        _, count = _context(state, lane, k)
        if count > 0:
            total += math.exp(np.float64(gate_W[int(state.own_KX[k, GATE])]) - most)
    return most, total


@register_jitable
def _own(state, gate_W, most, total):
    """The network's weight."""
    floor = state.own_KX[0, FLOOR]
    return np.float32(floor + (1.0 - floor) * math.exp(np.float64(gate_W[0]) - most) / total)


@register_jitable
def _weight(state, gate_W, k, most, total):
    """An order's."""
    gate = np.float64(gate_W[int(state.own_KX[k, GATE])])
    return np.float32((1.0 - state.own_KX[0, FLOOR]) * math.exp(gate - most) / total)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """What would be claimed of each token, had it come; and the weights."""
    most, total = _sum_of_gates(state, lane, in_F)
    own = _own(state, in_F, most, total)
    out_S[:] = 0.0
    out_S[0] = own
    for v in range(len(row_V)):
        row_V[v] = max(own * rows_EV[0, v], LEAST)
    for k in range(len(state.least_K)):
        hashed, count = _context(state, lane, k)
        if count > 0:
            weight, length = _weight(state, in_F, k, most, total), state.given_9[SHORTEST] + k - 1
            out_S[int(state.own_KX[k, GATE])] = weight
            pair_B = state.pair_KB[k]
            for v in range(len(row_V)):
                both = pair_B[pair_bucket(hashed, length, v, state.by_P, state.given_9)]
                row_V[v] += weight * np.float32(min(both, count) / count)


def learn(state, lane, rows_EV, in_F, token):
    """Count the token with its chunk."""
    count_in_chunks(state, lane, token)


def score(state, lane, p_E, in_F, token, out_S):
    """What is claimed of the token, to the bit; then count it."""
    most, total = _sum_of_gates(state, lane, in_F)
    own = _own(state, in_F, most, total)
    out_S[:] = 0.0
    out_S[0] = own
    p = max(own * p_E[0], LEAST)
    for k in range(len(state.least_K)):
        hashed, count = _context(state, lane, k)
        if count > 0:
            length = state.given_9[SHORTEST] + k - 1
            both = state.pair_KB[k, pair_bucket(hashed, length, token, state.by_P, state.given_9)]
            weight = _weight(state, in_F, k, most, total)
            out_S[int(state.own_KX[k, GATE])] = weight
            p += weight * np.float32(min(both, count) / count)
    count_in_chunks(state, lane, token)
    return p


class PublishedRouted:
    """See the module, and ``Counters``. ``orders``: those that the model's head was trained on."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        orders: Sequence[int],
        floor: Fraction,
        bucket_bits: Annotated[int, Between(1, 30)],
        multipliers: Sequence[int],
        beyond: Literal["wrap", "last"],
        min_counts: Sequence[int],
        chunk_tokens: PositiveInt,
        straddles: bool,
        start_tokens: NonNegativeInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError for no rising list of orders; further: see ``Counters``."""
        self.orders, self.floor = check_orders(orders, MOST_ORDER), floor
        self.counters = Counters(
            self.orders[0],
            self.orders[-1],
            bucket_bits,
            "xor",
            multipliers,
            beyond,
            min_counts,
            chunk_tokens,
            straddles,
            start_tokens,
            max_memory_mb,
            group="mixer",
        )

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError for a model without such a head, and for experts, which it has no gates for."""
        check_gates("routed_published", self.orders, facts, experts)
        place = {order: index for index, order in enumerate(self.orders, start=1)}
        own_KX = [(place.get(order, 0), self.floor) for order in range(self.orders[0], self.orders[-1] + 1)]
        state: HashedCounters = self.counters.state(facts, own_KX)
        weights, needs = order_weights(self.orders), ("gates",)
        traces = (*weights, "gates")
        name = "routed_published"
        return Stage(name, predict, learn, state, weights, needs, score=score, reserve=reserve, traces=traces)
