"""The model's routing head weighs the network and the counts of each order; its gates come from the same pass.

Formula: p = sum_k w_k P_k, P_1 the network's row, P_k the counts of order k by Witten and Bell down to it, as in
``ngram=witten_bell``; with s the softmax of the gates of the network and of those orders whose context was seen,
w_1 = f + (1 - f) s_1 and w_k = (1 - f) s_k, f = ``floor``. Each P_k sums to one, and so does the mixture.
Source: pull requests 834 and 860, over ratios of hashed counts that do not sum to one (spec ngram §4;
``mixer=routed_published``); here over the distributions that the head was trained on
(``pgolf.arch.addon.count_provider``).
Bytes: the head's, see ``arch/addon=routing_head``; 1 kB of code. Memory and time: those of the trie.
Hurts: nothing is learnt from how right an order was; counts beside a text of millions of tokens are not those of the
few thousand that the head saw in training.
"""

# W gates, the network's first; K contexts of 1 … K tokens; in a kernel's arguments E rows, F signals in (the gates),
# V vocabulary, S signals out

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Fraction, PositiveInt
from pgolf.mixer.gates import check_gates, check_orders, order_weights
from pgolf.ngram.pruning import reserve
from pgolf.ngram.trie import (
    COUNT,
    COUNTED,
    DISTINCT,
    FIRST,
    KEPT,
    KINDS,
    LEAST,
    MOST_ORDER,
    NEXT,
    NODE,
    OVER,
    SHARE,
    SIGNALS,
    TOKEN,
    TOLD,
    empty_trie,
    follow,
    learn,
    look,
    seen,
    tell,
)

GATE, FLOOR = range(2)  # of a context's own numbers: its place among the gates, 0: the head has none for it


@register_jitable
def _route(found_K5, part_K6, own_KX, gate_W, weight_W):
    """Into ``SHARE`` what each context has of the row, its own weight and what longer ones leave to it, and the weights
    themselves; returns the network's part."""
    most = np.float64(gate_W[0])
    for k in range(len(part_K6)):
        gate = int(own_KX[k, GATE])
        part_K6[k, KEPT], part_K6[k, OVER] = found_K5[k, KINDS], found_K5[k, TOLD] + found_K5[k, KINDS]
        if gate == 0:
            part_K6[k, OVER] = 0.0
        if part_K6[k, OVER] > 0:
            most = max(most, np.float64(gate_W[gate]))
    own = total = math.exp(np.float64(gate_W[0]) - most)
    for k in range(len(part_K6)):
        if part_K6[k, OVER] > 0:
            part_K6[k, SHARE] = math.exp(np.float64(gate_W[int(own_KX[k, GATE])]) - most)
            total += part_K6[k, SHARE]
    floor, left = own_KX[0, FLOOR], 0.0
    weight_W[:] = 0.0
    weight_W[0] = floor + (1.0 - floor) * own / total
    for k in range(len(part_K6) - 1, -1, -1):
        if part_K6[k, OVER] > 0:
            weight_W[int(own_KX[k, GATE])] = (1.0 - floor) * part_K6[k, SHARE] / total
            part_K6[k, SHARE] = left + (1.0 - floor) * part_K6[k, SHARE] / total
            left = part_K6[k, SHARE] * (part_K6[k, KEPT] / part_K6[k, OVER])
    return np.float32(floor + (1.0 - floor) * own / total + left)


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture; ``order``, ``total``, ``distinct`` of the longest context that was seen; and the weights."""
    look(state, lane, 1, out_S)
    node_N4, entry_E4, found_K5, part_K6 = state.node_N4, state.entry_E4, state.found_K5, state.part_K6
    own = _route(found_K5, part_K6, state.own_KX, in_F, out_S[len(SIGNALS) :])
    for v in range(len(row_V)):
        row_V[v] = max(own * rows_EV[0, v], LEAST)
    for k in range(len(part_K6) - 1, -1, -1):
        if part_K6[k, OVER] > 0:
            node, unit = found_K5[k, NODE], np.float32(part_K6[k, SHARE] / part_K6[k, OVER])
            entry = node_N4[node, FIRST]
            for _ in range(node_N4[node, DISTINCT]):
                row_V[entry_E4[entry, TOKEN]] += unit * np.float32(entry_E4[entry, COUNT])
                entry = entry_E4[entry, NEXT]


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then count it."""
    follow(state, lane, token)
    found_K5, part_K6 = state.found_K5, state.part_K6
    tell(found_K5, 0, 1, out_S)
    p = max(_route(found_K5, part_K6, state.own_KX, in_F, out_S[len(SIGNALS) :]) * p_E[0], LEAST)
    for k in range(len(part_K6) - 1, -1, -1):
        if found_K5[k, COUNTED] > 0 and part_K6[k, OVER] > 0:
            p += np.float32(part_K6[k, SHARE] / part_K6[k, OVER]) * np.float32(found_K5[k, COUNTED])
    return p


class Routed:
    """See the module. ``orders``: those that the model's head was trained on."""

    neutral: ClassVar[bool] = False

    def __init__(self, *, orders: Sequence[int], floor: Fraction, max_memory_mb: PositiveInt) -> None:
        """Raises ConfigError for no rising list of orders."""
        self.orders, self.floor, self.max_memory_mb = check_orders(orders, MOST_ORDER), floor, max_memory_mb

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError for a model without such a head, for experts, which it has no gates for, and for a stream
        whose counts might not fit in ``max_memory_mb``."""
        check_gates("routed", self.orders, facts, experts)
        place = {order: index for index, order in enumerate(self.orders, start=1)}
        own_KX = [(place.get(order, 0), self.floor) for order in range(2, self.orders[-1] + 1)]
        state = empty_trie(facts, 2, self.orders[-1], self.max_memory_mb, own_KX, setting="mixer.orders")
        weights = order_weights(self.orders)
        signals, needs, traces = (*SIGNALS, *weights), ("gates",), (*weights, "gates")
        return Stage(
            "routed",
            predict,
            learn,
            state,
            signals,
            needs,
            score=score,
            reserve=reserve,
            traces=traces,
            learns_from="token",
            seen=seen,
        )
