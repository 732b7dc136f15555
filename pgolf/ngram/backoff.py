"""Counts of every context seen so far, from the longest down to the network: absolute discounting, in an exact trie.

Formula: P_k(v) = (max(c_k(v) - D, 0) + D d_k P_{k-1}(v)) / C_k, where c_k(v) of the C_k tokens that followed the last
k-1 tokens were v, d_k of them distinct; k from ``min_order`` to ``max_order``, below them the network's row. Where
C_k = 0, P_k = P_{k-1}. Each row sums to one: what the discount takes, D d_k / C_k, goes to the order below.
Source: Ney, Essen and Kneser 1994 (interpolated absolute discounting).
Contexts run on across documents, whose BOS is a token like any other. Each lane has contexts of its own; the counts are
of all lanes together.
Bytes: none. Memory: see ``most_bytes``; at order 7 at most 202 bytes a token, on text 46, and as much again while it
grows.
Time: one look-up per order and token; a row costs O(V) and a walk through all successors of its contexts.
Hurts: alone, wherever the network is sure and the counts are few; a mixer chooses.

The trie. A *node* is a context, its *entries* are the tokens that followed it. An n-gram that was seen once is an entry
alone, with its place in the past, which tells what came next; when it comes again it becomes a node. All counts are
those of the full trie, with at most n/2 entries a token for a ``max_order`` of n, where the full trie has n - 1. A
node's entries form a list, in runs of growing length; where they are many, a hash table finds one of them.

All kernels of a technique live in one file because numba's cache on disk looks at nothing but its age.
"""

# V vocabulary, L lanes, K contexts of 1 … K tokens (so orders 2 … K+1), N nodes, E entries, H hash slots, T tokens
# learnt; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt

MOST_ORDER = 16
SCANNED = 8  # entries of a node that are looked through; where there are more, the hash table knows them
RUN = 64  # entries that are set aside together, at most
GROWTH = 1.5  # of an array that is full
SPARE = 1.5  # hash slots for one that is taken
PART = 1 << 16  # of the slots, that move together to a larger table
LEAST = np.float32(1e-30)  # of a probability: the product of many small shares has no place in a float32

TOTAL, DISTINCT, FIRST, LAST = range(4)  # of a node: tokens that followed, distinct ones; its first and last entry
TOKEN, COUNT, LINK, NEXT = range(4)  # of an entry; LINK: its node, or where it was seen while it was seen once
OWNER, ENTRY = range(2)  # of a hash slot: a node, an entry + 1; 0: empty
AFTER = 1  # of a token learnt: the position of its lane's next token, 0: not known yet
NODES, ENTRIES, HASHED, LEARNT = range(4)
LOWEST, VOCABULARY, TARGETS = range(3)  # which of the K contexts is the first to predict; what the stream is made of


class ContextTrie(NamedTuple):
    """Node v < V is the context of the one token v. ``found_K3``: c_k, C_k, d_k of the last token, before it came."""

    node_N4: np.ndarray  # int32
    entry_E4: np.ndarray  # int32
    slot_H2: np.ndarray  # int32
    past_T2: np.ndarray  # int32: token, AFTER
    here_LK: np.ndarray  # int32: the node of the lane's last 1 … K tokens, -1: not seen before
    end_L: np.ndarray  # int64: the position of the lane's last token, -1: none
    size_4: np.ndarray  # int64: how many NODES, ENTRIES (set aside), HASHED, LEARNT
    found_K3: np.ndarray  # int64
    discount_1: np.ndarray  # float64
    given_3: np.ndarray  # int64: LOWEST, VOCABULARY, TARGETS


# What is done for every order is handed the arrays that it needs: of a state, each array would be handed over.


@register_jitable
def _slot(owner, token, size):
    mixed = (np.int64(owner) * 0x9E3779B1 + np.int64(token) * 0x85EBCA77) & 0xFFFFFFFF  # never beyond 63 bits
    mixed ^= mixed >> 15
    mixed = (mixed * 0x2C1B3C6D) & 0xFFFFFFFF
    return (mixed * size) >> 32


@register_jitable
def _find(node_N4, entry_E4, slot_H2, node, token):
    """The node's entry of that token, -1: none."""
    distinct = node_N4[node, DISTINCT]
    if distinct <= SCANNED:
        entry = node_N4[node, FIRST]
        for _ in range(distinct):
            if entry_E4[entry, TOKEN] == token:
                return np.int64(entry)
            entry = entry_E4[entry, NEXT]
        return np.int64(-1)
    slot = _slot(node, token, len(slot_H2))
    while slot_H2[slot, ENTRY] != 0:
        entry = slot_H2[slot, ENTRY] - 1
        if slot_H2[slot, OWNER] == node and entry_E4[entry, TOKEN] == token:
            return np.int64(entry)
        slot = slot + 1 if slot + 1 < len(slot_H2) else 0
    return np.int64(-1)


@register_jitable
def _enter(entry_E4, slot_H2, size_4, node, entry):
    """Into the hash table."""
    slot = _slot(node, entry_E4[entry, TOKEN], len(slot_H2))
    while slot_H2[slot, ENTRY] != 0:
        slot = slot + 1 if slot + 1 < len(slot_H2) else 0
    slot_H2[slot, OWNER] = node
    slot_H2[slot, ENTRY] = entry + 1
    size_4[HASHED] += 1


@register_jitable
def _add(node_N4, entry_E4, slot_H2, size_4, node, token, position):
    """A token that follows the node for the first time."""
    distinct, last = np.int64(node_N4[node, DISTINCT]), np.int64(node_N4[node, LAST])
    entry = last + 1
    if distinct % RUN == 0 or (distinct < RUN and distinct & (distinct - 1) == 0):  # runs of 1, 1, 2, 4 … RUN, RUN
        entry = size_4[ENTRIES]
        size_4[ENTRIES] += max(1, min(distinct, RUN))
    entry_E4[entry, TOKEN] = token
    entry_E4[entry, COUNT] = 1
    entry_E4[entry, LINK] = position
    if distinct == 0:
        node_N4[node, FIRST] = entry
    else:
        entry_E4[last, NEXT] = entry
    node_N4[node, LAST] = entry
    node_N4[node, DISTINCT] = distinct + 1
    if distinct > SCANNED:
        _enter(entry_E4, slot_H2, size_4, node, entry)
    elif distinct == SCANNED:
        known = np.int64(node_N4[node, FIRST])
        for _ in range(SCANNED + 1):
            _enter(entry_E4, slot_H2, size_4, node, known)
            known = np.int64(entry_E4[known, NEXT])


@register_jitable
def _node(state, position, k):
    """A node for the context that was seen once, ending at ``position``: what followed it there is its first entry."""
    node_N4, node = state.node_N4, state.size_4[NODES]
    state.size_4[NODES] += 1
    after = state.past_T2[position, AFTER]
    if after > 0:
        _add(node_N4, state.entry_E4, state.slot_H2, state.size_4, node, state.past_T2[after, TOKEN], after)
        node_N4[node, TOTAL] = 1
    else:  # another lane ends there: what follows will be counted when it comes
        for lane in range(len(state.end_L)):
            if state.end_L[lane] == position:
                state.here_LK[lane, k] = node
    return node


@register_jitable
def _follow(state, lane, token):
    """Count the token in all contexts of its lane, which it then belongs to; leaves in ``found_K3`` what was there."""
    position = state.size_4[LEARNT]
    state.size_4[LEARNT] = position + 1
    state.past_T2[position, TOKEN] = token
    if state.end_L[lane] >= 0:
        state.past_T2[state.end_L[lane], AFTER] = position
    state.end_L[lane] = position
    here_LK, found_K3, contexts = state.here_LK, state.found_K3, state.here_LK.shape[1]
    node_N4, entry_E4, slot_H2 = state.node_N4, state.entry_E4, state.slot_H2
    arrived = np.int64(token)
    for k in range(contexts):
        node = np.int64(here_LK[lane, k])
        here_LK[lane, k] = arrived
        arrived = np.int64(-1)
        found_K3[k, :] = 0
        if node < 0:
            continue
        found_K3[k, 1] = node_N4[node, TOTAL]
        found_K3[k, 2] = node_N4[node, DISTINCT]
        entry = _find(node_N4, entry_E4, slot_H2, node, token)
        if entry < 0:
            _add(node_N4, entry_E4, slot_H2, state.size_4, node, token, position)
        else:
            count = np.int64(entry_E4[entry, COUNT])
            found_K3[k, 0] = count
            entry_E4[entry, COUNT] = count + 1
            if k + 1 < contexts:
                if count == 1:
                    entry_E4[entry, LINK] = _node(state, np.int64(entry_E4[entry, LINK]), k + 1)
                arrived = np.int64(entry_E4[entry, LINK])
        node_N4[node, TOTAL] += 1


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the longest context that was seen, 1, 0, 0 where none was."""
    here_K, node_N4, entry_E4 = state.here_LK[lane], state.node_N4, state.entry_E4
    lowest, discount = state.given_3[LOWEST], state.discount_1[0]
    taken = np.float32(discount)
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    share = 1.0
    for k in range(len(here_K) - 1, lowest - 1, -1):
        node = here_K[k]
        if node >= 0 and node_N4[node, TOTAL] > 0:
            total, distinct = node_N4[node, TOTAL], node_N4[node, DISTINCT]
            if out_S[1] == 0:
                out_S[0], out_S[1], out_S[2] = k + 2, total, distinct
            share = share * (discount * distinct / total)
    below = np.float32(share)
    for v in range(len(row_V)):
        row_V[v] = max(below * rows_EV[0, v], LEAST)
    share = 1.0
    for k in range(len(here_K) - 1, lowest - 1, -1):
        node = here_K[k]
        if node >= 0 and node_N4[node, TOTAL] > 0:
            total, distinct = node_N4[node, TOTAL], node_N4[node, DISTINCT]
            unit = np.float32(share / total)
            entry = node_N4[node, FIRST]
            for _ in range(distinct):
                row_V[entry_E4[entry, TOKEN]] += unit * (np.float32(entry_E4[entry, COUNT]) - taken)
                entry = entry_E4[entry, NEXT]
            share = share * (discount * distinct / total)


def learn(state, lane, rows_EV, in_F, token):
    """Count the token."""
    _follow(state, lane, token)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then count it."""
    _follow(state, lane, token)
    found_K3 = state.found_K3
    lowest, discount = state.given_3[LOWEST], state.discount_1[0]
    taken = np.float32(discount)
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    share = 1.0
    for k in range(len(found_K3) - 1, lowest - 1, -1):
        total, distinct = found_K3[k, 1], found_K3[k, 2]
        if total > 0:
            if out_S[1] == 0:
                out_S[0], out_S[1], out_S[2] = k + 2, total, distinct
            share = share * (discount * distinct / total)
    p = max(np.float32(share) * p_E[0], LEAST)
    share = 1.0
    for k in range(len(found_K3) - 1, lowest - 1, -1):
        count, total, distinct = found_K3[k, 0], found_K3[k, 1], found_K3[k, 2]
        if total > 0:
            if count > 0:
                p += np.float32(share / total) * (np.float32(count) - taken)
            share = share * (discount * distinct / total)
    return p


def reserve(state: ContextTrie, tokens: int) -> ContextTrie:
    """Room for so many more tokens, whatever they are."""
    contexts, (nodes, entries, hashed, learnt) = state.here_LK.shape[1], state.size_4.tolist()
    _, vocab_size, targets = state.given_3.tolist()
    added = 2 * contexts * tokens  # entries at most, by each token in each context, and the first of a new node
    needed = (
        nodes + contexts * tokens,
        entries + min(RUN * added, entries + 2 * added),  # a run each, or all that there is as much again
        int(SPARE * min(hashed + (SCANNED + 1) * added, entries + added)) + 1,
        learnt + tokens,
    )
    least = map(min, needed, rooms(learnt + tokens, contexts, vocab_size))
    most = rooms(max(targets, learnt + tokens), contexts, vocab_size)
    node_N4, entry_E4, slot_H2, past_T2 = state.node_N4, state.entry_E4, state.slot_H2, state.past_T2
    old = len(node_N4), len(entry_E4), len(slot_H2), len(past_T2)
    new = [
        size if size >= few else min(max(few, int(GROWTH * size)), all_)
        for size, few, all_ in zip(old, least, most, strict=True)
    ]
    return state._replace(
        node_N4=_grown(node_N4, new[0]),
        entry_E4=_grown(entry_E4, new[1]),
        slot_H2=slot_H2 if new[2] == len(slot_H2) else _rehashed(slot_H2, entry_E4, new[2]),
        past_T2=_grown(past_T2, new[3]),
    )


def rooms(tokens: int, contexts: int, vocab_size: int) -> tuple[int, int, int, int]:
    """How many nodes, entries, hash slots and past tokens a stream of so many tokens can want at most.

    A node of two or more tokens was seen twice: at most half a node a token for each length. If those of k tokens were
    seen S_k times in all, at most once a token, their entries are at most S_{k+1}/2 that were seen again and
    S_k - S_{k+1} that were not, which over all lengths makes (``contexts`` + 1)/2 a token; runs are at most half empty.
    """
    entries = ((contexts + 1) * tokens + 1) // 2
    return vocab_size + (contexts - 1) * tokens // 2, 2 * entries, int(SPARE * entries) + 1, tokens


def most_bytes(tokens: int, contexts: int, vocab_size: int) -> int:
    """What the trie of a stream can take, its old arrays beside the new ones as it grows: 60 n - 16 a token with
    n = ``contexts`` + 1."""
    nodes, entries, slots, past = rooms(tokens, contexts, vocab_size)
    return 2 * (16 * nodes + 16 * entries + 8 * slots + 8 * past)


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    if size == len(array):
        return array
    grown = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def _rehashed(slot_H2: np.ndarray, entry_E4: np.ndarray, size: int) -> np.ndarray:
    """The table with ``size`` slots: a part at once to where it belongs, who finds it taken one further, and so on."""
    grown_H2 = np.zeros((size, 2), dtype=np.int32)
    for start in range(0, len(slot_H2), PART):
        part_n2 = slot_H2[start : start + PART]
        waiting_n2 = part_n2[part_n2[:, ENTRY] > 0]
        place_n = _slot(waiting_n2[:, OWNER].astype(np.int64), entry_E4[waiting_n2[:, ENTRY] - 1, TOKEN], size)
        while len(place_n):
            free_n = grown_H2[place_n, ENTRY] == 0
            grown_H2[place_n[free_n]] = waiting_n2[free_n]  # of those with one place the last stays
            left_n = grown_H2[place_n, ENTRY] != waiting_n2[:, ENTRY]
            waiting_n2, place_n = waiting_n2[left_n], (place_n[left_n] + 1) % size
    return grown_H2


class Backoff:
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
        if min_order > max_order:
            raise ConfigError(f"ngram.min_order: {min_order} is above ngram.max_order = {max_order}")
        self.min_order, self.max_order = min_order, max_order
        self.discount, self.max_memory_mb = discount, max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError for a stream whose counts might not fit in ``max_memory_mb``."""
        contexts = self.max_order - 1
        self._check_memory(facts, contexts)
        state = ContextTrie(
            node_N4=np.zeros((facts.vocab_size, 4), dtype=np.int32),
            entry_E4=np.zeros((0, 4), dtype=np.int32),
            slot_H2=np.zeros((1, 2), dtype=np.int32),
            past_T2=np.zeros((0, 2), dtype=np.int32),
            here_LK=np.full((facts.lanes, contexts), -1, dtype=np.int32),
            end_L=np.full(facts.lanes, -1, dtype=np.int64),
            size_4=np.array([facts.vocab_size, 0, 0, 0], dtype=np.int64),
            found_K3=np.zeros((contexts, 3), dtype=np.int64),
            discount_1=np.array([self.discount], dtype=np.float64),
            given_3=np.array([self.min_order - 2, facts.vocab_size, facts.targets], dtype=np.int64),
        )
        signals = ("order", "total", "distinct")
        return (Stage("backoff", predict, learn, state, signals, score=score, reserve=reserve),)

    def _check_memory(self, facts: Facts, contexts: int) -> None:
        most_mb = math.ceil(most_bytes(facts.targets, contexts, facts.vocab_size) / 1e6)
        if most_mb > self.max_memory_mb:
            raise ConfigError(
                f"ngram.max_memory_mb: {self.max_memory_mb}; counts up to order {self.max_order} of {facts.targets:,} "
                f"tokens can take {most_mb:,} MB, and an evaluation is not begun that may not end; allow as much, or "
                "lower ngram.max_order"
            )
        if rooms(facts.targets, contexts, facts.vocab_size)[1] >= 2**31:
            raise ConfigError(
                f"ngram.max_order: {self.max_order} is too much for {facts.targets:,} tokens: more than 2^31 entries"
            )
