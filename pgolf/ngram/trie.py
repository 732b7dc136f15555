"""The trie of everything that has been counted, and how a technique makes rows of it. No word of the command line.

A *node* is a context, its *entries* are the tokens that followed it. An n-gram that was seen once is an entry alone,
with its place in the past, which tells what came next; when it comes again it becomes a node. All counts are those of
the full trie, with at most n/2 entries a token for a ``max_order`` of n, where the full trie has n - 1. A node's
entries form a list, in runs of growing length; where they are many, a hash table finds one of them.

Contexts run on across documents, whose BOS is a token like any other. Each lane has contexts of its own; the counts are
of all lanes together.

A technique of the family says for each context, of what was found of it, three numbers of ``part_K6``, in
    P_k(v) = (max(c_k(v) - taken, 0) + kept · P_{k-1}(v)) / over,
where c_k(v) of the C_k tokens that followed the last k-1 tokens were v, d_k of them distinct; below the shortest order
stands the network's row. The row sums to one where ``over`` is C_k - taken · d_k + kept. Its kernels are then
    predict     look, its own parts, spread
    score       follow, tell, its own parts, price
    learn       the one below, or its own with follow in it

Memory: see ``most_bytes``; at order 7 at most 202 bytes a token, on text 46, and as much again while it grows.
Time: one look-up per order and token; a row costs O(V) and a walk through all successors of its contexts.
"""

# V vocabulary, L lanes, K contexts of 1 … K tokens (so orders 2 … K+1), N nodes, E entries, H hash slots, T tokens
# learnt, X numbers of a technique for each context; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts

SIGNALS = ("order", "total", "distinct")
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
COUNTED, TOLD, KINDS, NODE, WHERE = range(5)  # found of a context: c, C, d, its node and the token's entry, -1: none
TAKEN, KEPT, OVER, WHICH, SHARE, KEPT_TOO = range(6)  # of a part; OVER 0: the context says nothing; WHICH number is c
LOST = 5  # of a node that began with counts of training text: what is of none of its entries; it is kept as well
CAPACITY, PRUNINGS, DROPPED, FRESH = range(4)  # of a bound; CAPACITY 0: none; FRESH: nothing is left of before
TEXT = 4  # tokens of text for one of the worst that there is room for: what past tokens take is known
LOWEST, VOCABULARY, TARGETS = range(3)  # which of the K contexts is the first to predict; what the stream is made of


class ContextTrie(NamedTuple):
    """Node v < V is the context of the one token v. ``found_K5``: COUNTED … of the last token, before it came."""

    node_N4: np.ndarray  # int32; where a technique counts more of nodes and entries, further columns
    entry_E4: np.ndarray  # int32
    slot_H2: np.ndarray  # int32
    past_T2: np.ndarray  # int32: token, AFTER
    here_LK: np.ndarray  # int32: the node of the lane's last 1 … K tokens, -1: not seen before
    end_L: np.ndarray  # int64: the position of the lane's last token, -1: none
    size_4: np.ndarray  # int64: how many NODES, ENTRIES (set aside), HASHED, LEARNT
    found_K5: np.ndarray  # int64
    part_K6: np.ndarray  # float64: TAKEN, KEPT, OVER, SHARE, KEPT_TOO of each context for the last row, WHICH for all
    own_KX: np.ndarray  # float64: what the technique alone knows
    given_3: np.ndarray  # int64: LOWEST, VOCABULARY, TARGETS
    bound_4: np.ndarray  # int64: CAPACITY, in tokens of the worst that all fit, PRUNINGS, entries DROPPED, FRESH


# What is done for every order is handed the arrays that it needs: of a state, each array would be handed over.


@register_jitable
def _slot(owner, token, size):
    mixed = (np.int64(owner) * 0x9E3779B1 + np.int64(token) * 0x85EBCA77) & 0xFFFFFFFF  # never beyond 63 bits
    mixed ^= mixed >> 15
    mixed = (mixed * 0x2C1B3C6D) & 0xFFFFFFFF
    return (mixed * size) >> 32


@register_jitable
def find(node_N4, entry_E4, slot_H2, node, token):
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
def enter(entry_E4, slot_H2, size_4, node, entry):
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
        enter(entry_E4, slot_H2, size_4, node, entry)
    elif distinct == SCANNED:
        known = np.int64(node_N4[node, FIRST])
        for _ in range(SCANNED + 1):
            enter(entry_E4, slot_H2, size_4, node, known)
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
def follow(state, lane, token):
    """Count the token in all contexts of its lane, which it then belongs to; leaves in ``found_K5`` what was there."""
    position = state.size_4[LEARNT]
    state.size_4[LEARNT] = position + 1
    state.past_T2[position, TOKEN] = token
    if state.end_L[lane] >= 0:
        state.past_T2[state.end_L[lane], AFTER] = position
    state.end_L[lane] = position
    here_LK, found_K5, contexts = state.here_LK, state.found_K5, state.here_LK.shape[1]
    node_N4, entry_E4, slot_H2 = state.node_N4, state.entry_E4, state.slot_H2
    arrived, begun = np.int64(token), node_N4.shape[1] > LOST
    for k in range(contexts):
        node = np.int64(here_LK[lane, k])
        here_LK[lane, k] = arrived
        arrived = np.int64(-1)
        found_K5[k, COUNTED], found_K5[k, TOLD], found_K5[k, KINDS] = 0, 0, 0
        found_K5[k, NODE], found_K5[k, WHERE] = node, -1
        if node < 0:
            continue
        found_K5[k, TOLD] = node_N4[node, TOTAL]
        found_K5[k, KINDS] = node_N4[node, DISTINCT]
        if begun:
            state.part_K6[k, KEPT_TOO] = node_N4[node, LOST]
        entry = find(node_N4, entry_E4, slot_H2, node, token)
        if entry < 0:
            _add(node_N4, entry_E4, slot_H2, state.size_4, node, token, position)
        else:
            count = np.int64(entry_E4[entry, COUNT])
            found_K5[k, COUNTED] = count
            found_K5[k, WHERE] = entry
            entry_E4[entry, COUNT] = count + 1
            if k + 1 < contexts:
                if count == 1:
                    entry_E4[entry, LINK] = _node(state, np.int64(entry_E4[entry, LINK]), k + 1)
                arrived = np.int64(entry_E4[entry, LINK])
        node_N4[node, TOTAL] += 1


@register_jitable
def look(state, lane, least, out_S):
    """What is known of the lane's contexts before the token, into ``found_K5``, and what ``tell`` says of it."""
    here_K, node_N4, found_K5 = state.here_LK[lane], state.node_N4, state.found_K5
    begun = node_N4.shape[1] > LOST
    for k in range(len(here_K)):
        node = np.int64(here_K[k])
        found_K5[k, COUNTED] = 0
        found_K5[k, TOLD] = node_N4[node, TOTAL] if node >= 0 else 0
        found_K5[k, KINDS] = node_N4[node, DISTINCT] if node >= 0 else 0
        found_K5[k, NODE] = node
        found_K5[k, WHERE] = -1
        if begun and node >= 0:
            state.part_K6[k, KEPT_TOO] = node_N4[node, LOST]
    tell(found_K5, state.given_3[LOWEST], least, out_S)


@register_jitable
def tell(found_K5, lowest, least, out_S):
    """``order``, ``total``, ``distinct`` of the longest context seen ``least`` times; 1, 0, 0 where none was."""
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    for k in range(len(found_K5) - 1, lowest - 1, -1):
        if found_K5[k, TOLD] >= least:
            out_S[0], out_S[1], out_S[2] = k + 2, found_K5[k, TOLD], found_K5[k, KINDS]
            return


@register_jitable
def met(state, least):
    """How often the last token had followed the longest context seen ``least`` times; -1: none was."""
    found_K5 = state.found_K5
    for k in range(len(found_K5) - 1, state.given_3[LOWEST] - 1, -1):
        if found_K5[k, TOLD] >= least:
            return np.int64(found_K5[k, COUNTED])
    return np.int64(-1)


def seen(state):
    """See ``Stage``, of any context that was seen."""
    return met(state, 1)


@register_jitable
def _left(part_K6, lowest):
    """What all contexts leave to the network; ``SHARE`` is what the longer ones leave to each."""
    share = 1.0
    for k in range(len(part_K6) - 1, lowest - 1, -1):
        if part_K6[k, OVER] > 0:
            part_K6[k, SHARE] = share
            share = share * ((part_K6[k, KEPT] + part_K6[k, KEPT_TOO]) / part_K6[k, OVER])
    return np.float32(share)


@register_jitable
def spread(node_N4, entry_E4, found_K5, part_K6, lowest, own_V, row_V):
    """The row of these parts: what all of them keep of the network's, and each context's share to its successors."""
    below = _left(part_K6, lowest)
    for v in range(len(row_V)):
        row_V[v] = max(below * own_V[v], LEAST)
    for k in range(len(part_K6) - 1, lowest - 1, -1):
        if part_K6[k, OVER] > 0:
            node, taken, which = found_K5[k, NODE], np.float32(part_K6[k, TAKEN]), np.int64(part_K6[k, WHICH])
            unit = np.float32(part_K6[k, SHARE] / part_K6[k, OVER])
            entry = node_N4[node, FIRST]
            for _ in range(node_N4[node, DISTINCT]):
                row_V[entry_E4[entry, TOKEN]] += unit * (np.float32(entry_E4[entry, which]) - taken)
                entry = entry_E4[entry, NEXT]


@register_jitable
def price(found_K5, part_K6, lowest, own):
    """The token's entry of the row, to the bit, from what ``follow`` found."""
    p = max(_left(part_K6, lowest) * own, LEAST)
    for k in range(len(part_K6) - 1, lowest - 1, -1):
        if found_K5[k, COUNTED] > 0 and part_K6[k, OVER] > 0:
            unit, taken = np.float32(part_K6[k, SHARE] / part_K6[k, OVER]), np.float32(part_K6[k, TAKEN])
            p += unit * (np.float32(found_K5[k, COUNTED]) - taken)
    return p


def learn(state, lane, rows_EV, in_F, token):
    """Count the token."""
    follow(state, lane, token)


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
    if state.node_N4.shape[1] > LOST:  # any token may be new in all contexts
        least, most = needed, (2**31,) * 4
    else:
        least = tuple(map(min, needed, rooms(learnt + tokens, contexts, vocab_size)))
        most = rooms(max(targets, learnt + tokens), contexts, vocab_size)
    node_N4, entry_E4, slot_H2, past_T2 = state.node_N4, state.entry_E4, state.slot_H2, state.past_T2
    old = len(node_N4), len(entry_E4), len(slot_H2), len(past_T2)
    new = [
        size if size >= few else min(max(few, int(GROWTH * size)), all_)
        for size, few, all_ in zip(old, least, most, strict=True)
    ]
    return state._replace(
        node_N4=grown(node_N4, new[0]),
        entry_E4=grown(entry_E4, new[1]),
        slot_H2=slot_H2 if new[2] == len(slot_H2) else _rehashed(slot_H2, entry_E4, new[2]),
        past_T2=grown(past_T2, new[3]),
    )


def rooms(tokens: int, contexts: int, vocab_size: int) -> tuple[int, int, int, int]:
    """How many nodes, entries, hash slots and past tokens a stream of so many tokens can want at most.

    A node of two or more tokens was seen twice: at most half a node a token for each length. If those of k tokens were
    seen S_k times in all, at most once a token, their entries are at most S_{k+1}/2 that were seen again and
    S_k - S_{k+1} that were not, which over all lengths makes (``contexts`` + 1)/2 a token; runs are at most half empty.
    """
    entries = ((contexts + 1) * tokens + 1) // 2
    return vocab_size + (contexts - 1) * tokens // 2, 2 * entries, int(SPARE * entries) + 1, tokens


def most_bytes(tokens: int, contexts: int, vocab_size: int, columns: int = 4) -> int:
    """What the trie of a stream can take, its old arrays beside the new ones as it grows: 60 n - 16 a token with
    n = ``contexts`` + 1 and four ``columns``."""
    nodes, entries, slots, past = rooms(tokens, contexts, vocab_size)
    return 2 * (4 * columns * (nodes + entries) + 8 * slots + 8 * past)


def bounded_rooms(capacity: int, contexts: int, vocab_size: int) -> tuple[int, int, int, int]:
    """The sizes of a trie that is pruned: for so many of the worst tokens, or more of text."""
    nodes, entries, slots, past = rooms(capacity, contexts, vocab_size)
    return nodes, entries, slots, TEXT * past


def bounded_bytes(capacity: int, contexts: int, vocab_size: int, columns: int = 4) -> int:
    """What that takes, with as much again while it is pruned."""
    nodes, entries, slots, past = bounded_rooms(capacity, contexts, vocab_size)
    return 2 * (4 * columns * (nodes + entries) + 8 * slots + 8 * past)


def capacity_of(most: int, contexts: int, vocab_size: int, columns: int) -> int:
    """The largest whose ``bounded_bytes`` are ``most``, or fewer; 0: there is none."""
    fits, over = 0, most
    while over - fits > 1:
        tried = (fits + over) // 2
        fits, over = (tried, over) if bounded_bytes(tried, contexts, vocab_size, columns) <= most else (fits, tried)
    return fits


def grown(array: np.ndarray, size: int) -> np.ndarray:
    if size == len(array):
        return array
    larger = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def hashed(owner_n: np.ndarray, entry_n: np.ndarray, entry_E4: np.ndarray, size: int) -> np.ndarray:
    """A table with ``size`` slots of these entries."""
    slot_H2 = np.stack([owner_n, entry_n + 1], -1).astype(np.int32)
    return _rehashed(slot_H2, entry_E4, size)


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


def check_orders(min_order: int, max_order: int) -> None:
    """Raise ConfigError where the shortest is the longer one."""
    if min_order > max_order:
        raise ConfigError(f"ngram.min_order: {min_order} is above ngram.max_order = {max_order}")


def check_betas(min_order: int, betas: Sequence[float]) -> None:
    """Raise ConfigError where they are no weights of ``min_order`` and each order above, or go beyond the highest."""
    positive = isinstance(betas, list | tuple) and all(
        isinstance(beta, int | float) and not isinstance(beta, bool) and 0 < beta < math.inf for beta in betas
    )
    if not positive or not betas:
        raise ConfigError(f"ngram.betas: {betas!r} is no list of numbers above 0")
    max_order = min_order + len(betas) - 1
    if max_order > MOST_ORDER:
        raise ConfigError(
            f"ngram.betas: {len(betas)} from order {min_order} on go up to {max_order}; {MOST_ORDER} is the highest"
        )


def empty_trie(
    facts: Facts,
    min_order: int,
    max_order: int,
    max_memory_mb: int,
    own_KX: Sequence[Sequence[float]] = (),
    columns: int = 4,
    setting: str = "ngram.max_order",
    packed: Any = None,
) -> ContextTrie:
    """Nothing counted but what is ``packed`` (``Facts.packed``), if anything, and no room yet; ``columns`` of nodes and
    entries; ``setting``: where ``max_order`` is from.

    A stream whose counts might not fit is pruned (``pgolf.ngram.pruning``). Raises ConfigError where not even the least
    fits, or where the counts that might not fit are ``packed``.
    """
    contexts, capacity = max_order - 1, 0
    most = most_bytes(facts.targets, contexts, facts.vocab_size, columns)
    if packed is not None:
        most = 2 * begun_bytes(packed.ngrams + contexts * facts.targets, facts.vocab_size, facts.targets)
    if packed is None and most > max_memory_mb * 1_000_000:
        capacity = capacity_of(max_memory_mb * 1_000_000, contexts, facts.vocab_size, columns)
        least = bounded_bytes(2, contexts, facts.vocab_size, columns)
        if capacity < 2:
            raise ConfigError(
                f"{setting.partition('.')[0]}.max_memory_mb: {max_memory_mb}; counts up to order {max_order} take "
                f"{math.ceil(least / 1e6):,} MB at the least, however much is forgotten; allow as much"
            )
        most = max_memory_mb * 1_000_000
    check_memory(facts, max_order, max_memory_mb, most, setting, capacity)
    part_K6 = np.zeros((contexts, 6), dtype=np.float64)
    part_K6[:, WHICH] = COUNT
    state = ContextTrie(
        node_N4=np.zeros((facts.vocab_size, columns), dtype=np.int32),
        entry_E4=np.zeros((0, columns), dtype=np.int32),
        slot_H2=np.zeros((1, 2), dtype=np.int32),
        past_T2=np.zeros((0, 2), dtype=np.int32),
        here_LK=np.full((facts.lanes, contexts), -1, dtype=np.int32),
        end_L=np.full(facts.lanes, -1, dtype=np.int64),
        size_4=np.array([facts.vocab_size, 0, 0, 0], dtype=np.int64),
        found_K5=np.zeros((contexts, 5), dtype=np.int64),
        part_K6=part_K6,
        own_KX=np.array(own_KX, dtype=np.float64).reshape(contexts, -1),
        given_3=np.array([min_order - 2, facts.vocab_size, facts.targets], dtype=np.int64),
        bound_4=np.array([capacity, 0, 0, True], dtype=np.int64),
    )
    return state if packed is None else packed.in_trie(state)


def begun_bytes(entries: int, vocab_size: int, tokens: int) -> int:
    """What a trie takes whose n-grams may all be nodes; runs are at most half empty."""
    return int(4 * 6 * (vocab_size + entries) + 16 * 2 * entries + 8 * SPARE * entries + 8 * tokens)


def check_memory(facts: Facts, max_order: int, max_memory_mb: int, most: int, setting: str, capacity: int = 0) -> None:
    """Raise ConfigError where ``most`` bytes are too many, or the trie's numbers too small; ``capacity``: of one that
    is pruned."""
    most_mb = math.ceil(most / 1e6)
    if most_mb > max_memory_mb:
        raise ConfigError(
            f"{setting.partition('.')[0]}.max_memory_mb: {max_memory_mb}; counts up to order {max_order} of "
            f"{facts.targets:,} tokens can take {most_mb:,} MB with packed ones, which are not pruned; allow as "
            f"much, or lower {setting}"
        )
    if rooms(capacity or facts.targets, max_order - 1, facts.vocab_size)[1] >= 2**31:
        raise ConfigError(f"{setting}: {max_order} is too much for {facts.targets:,} tokens: more than 2^31 entries")
