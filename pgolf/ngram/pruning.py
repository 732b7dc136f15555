"""A trie within a bound: where the next round may not fit, what came least is forgotten. No word of the command line.

Rule: contexts that came once are forgotten with what followed them, then n-grams that came once, the longest first,
then those that came up to 2, 4, 8 … times, until half of the room is free and the round fits whatever it brings. With
an n-gram, all that begin with it go. Totals fall with what is dropped, so that rows sum to one. When that happens
depends on the tokens and the rounds alone: scorer, decoder and auditor prune at the same places.
Memory: all arrays are made at once and take half of the bound; while entries are moved, they are there twice.
Time: each level tried is a walk through all entries; nothing where the whole stream fits.
Measured: the first 65,536 tokens of dev, a default laptop artifact, ngram=backoff mixer=bucketed, bits per byte: 1.1583
unbounded and in 24 MB, 1.1595 in 12, 1.1596 in 6. Over a uniform network (200,000 tokens, bits a token): unbounded
8.510; in 46, 23, 12 MB 8.506, 8.516, 9.275 with 1, 11, 26 prunings.
Hurts: with room for less than about four rounds of the worst tokens everything is forgotten at once, since what a round
brings is not known: at order 7 with laptop's rounds of 8,192 nothing stays in 12 MB, 24,500 entries in 16. Contexts
that come back after long; what is counted again begins at nought, and by Kneser and Ney's counts what stood before an
n-gram may be counted twice.
"""

# V vocabulary, N nodes, E entries, H hash slots, T tokens, K contexts

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba.extending import register_jitable

from pgolf.core.compiled import compiled
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import LearnsFrom, Stage
from pgolf.ngram.trie import (
    CAPACITY,
    COUNT,
    DISTINCT,
    DROPPED,
    ENTRIES,
    FIRST,
    FRESH,
    HASHED,
    LAST,
    LEARNT,
    LINK,
    NEXT,
    NODES,
    PRUNINGS,
    RUN,
    SCANNED,
    SIGNALS,
    SPARE,
    TOTAL,
    VOCABULARY,
    ContextTrie,
    bounded_bytes,
    bounded_rooms,
    enter,
    rooms,
    seen,
)
from pgolf.ngram.trie import reserve as unbounded

BEFORE = 4  # what else a technique counts of nodes and entries, in further columns: a node's is the sum of its entries'


def counting(
    name: str,
    predict: Callable[..., None],
    learn: Callable[..., None],
    state: ContextTrie,
    *,
    score: Callable[..., float] | None = None,
    seen: Callable[..., int] = seen,
    learns_from: LearnsFrom = "token",
) -> tuple[Stage, ...]:
    """One expert over a trie, which is pruned where it has to be."""
    return (
        Stage(name, predict, learn, state, SIGNALS, score=score, reserve=reserve, learns_from=learns_from, seen=seen),
    )


def reserve(state: ContextTrie, tokens: int) -> ContextTrie:
    """Room for so many more tokens, whatever they are; for which something may have to be forgotten.

    Raises ConfigError where they would not fit even if nothing had been counted.
    """
    capacity, contexts = int(state.bound_4[CAPACITY]), state.here_LK.shape[1]
    if not capacity:
        return unbounded(state, tokens)
    vocab_size = int(state.given_3[VOCABULARY])
    if tokens > capacity - 1:
        least = bounded_bytes(tokens + 1, contexts, vocab_size, state.node_N4.shape[1])
        raise ConfigError(
            f"max_memory_mb: a round of {tokens:,} tokens can take {math.ceil(least / 1e6):,} MB even where all before "
            f"it is forgotten; allow as much, or take shorter rounds"
        )
    if not len(state.past_T2):
        state = _made(state, bounded_rooms(capacity, contexts, vocab_size))
    if _fits(state, state.size_4.tolist(), bool(state.bound_4[FRESH]), tokens):
        return state
    return _pruned(state, tokens)


def _made(state: ContextTrie, sizes: tuple[int, int, int, int]) -> ContextTrie:
    """All arrays, at their full sizes."""
    columns = state.node_N4.shape[1]
    nodes, entries, slots, past = sizes
    return state._replace(
        node_N4=np.zeros((nodes, columns), dtype=np.int32),
        entry_E4=np.zeros((entries, columns), dtype=np.int32),
        slot_H2=np.zeros((slots, 2), dtype=np.int32),
        past_T2=np.zeros((past, 2), dtype=np.int32),
    )


def _fits(state: ContextTrie, size_n: list[int], fresh: bool, tokens: int) -> bool:
    """Whether a trie of such sizes has room for so many more tokens, whatever they are."""
    contexts, (nodes, entries, hashed, learnt) = state.here_LK.shape[1], size_n
    held = tuple(map(len, (state.node_N4, state.entry_E4, state.slot_H2, state.past_T2)))
    if learnt + tokens > held[3]:
        return False
    vocab_size = int(state.given_3[VOCABULARY])
    if fresh and all(few <= size for few, size in zip(rooms(learnt + tokens, contexts, vocab_size), held, strict=True)):
        return True
    added = 2 * contexts * tokens  # as in an unbounded one
    more = nodes + (contexts - 1) * tokens, entries + min(RUN * added, entries + 2 * added)  # the longest have no nodes
    slots = int(SPARE * min(hashed + (SCANNED + 1) * added, entries + added)) + 1
    return more[0] <= held[0] and more[1] <= held[1] and slots <= held[2]


def _pruned(state: ContextTrie, tokens: int) -> ContextTrie:
    """With room for so many more tokens, and half of all that there is."""
    contexts, vocab_size, nodes = state.here_LK.shape[1], int(state.given_3[VOCABULARY]), int(state.size_4[NODES])
    length_N = np.zeros(nodes, dtype=np.int8)
    length_N[:vocab_size] = 1
    _measure_lengths(state.node_N4, state.entry_E4, length_N, contexts)
    most, shortest, size_4 = 1, contexts, np.zeros(4, dtype=np.int64)
    while True:
        kept = _measure(state.node_N4, state.entry_E4, length_N, contexts, most, shortest, size_4)
        size_4[LEARNT] = 1
        half = (
            2 * (size_4[NODES] - vocab_size) <= len(state.node_N4) - vocab_size
            and 2 * size_4[ENTRIES] <= len(state.entry_E4)
            and 2 * SPARE * size_4[HASHED] <= len(state.slot_H2)
        )
        if half and _fits(state, size_4.tolist(), kept == 0, tokens):
            break
        assert kept, "an empty trie has room"
        most, shortest = (most, shortest - 1) if shortest > 1 else (2 * most, contexts)
    before = int(state.node_N4[:nodes, DISTINCT].sum())
    entry_E4, moved_N = np.zeros_like(state.entry_E4), np.full(nodes, -1, dtype=np.int32)
    arrays = state.node_N4, state.entry_E4, entry_E4, state.slot_H2, state.size_4
    _move(*arrays, length_N, moved_N, vocab_size, contexts, most, shortest)
    assert state.size_4[NODES] == size_4[NODES] and state.size_4[ENTRIES] == size_4[ENTRIES]
    state.past_T2[:] = 0
    state.end_L[:] = -1
    state.here_LK[:] = np.where(state.here_LK >= 0, moved_N[state.here_LK], -1)
    state.bound_4[FRESH] = kept == 0
    state.bound_4[PRUNINGS] += 1
    state.bound_4[DROPPED] += before - kept
    return state._replace(entry_E4=entry_E4)


@compiled("void(int32[:, ::1], int32[:, ::1], int8[::1], int64)")
def _measure_lengths(node_N4, entry_E4, length_N, contexts):
    """Of each node's context: a node comes after that of the context without the last token."""
    for node in range(len(length_N)):
        entry = node_N4[node, FIRST]
        for _ in range(node_N4[node, DISTINCT] if length_N[node] < contexts else 0):
            if entry_E4[entry, COUNT] > 1:
                length_N[entry_E4[entry, LINK]] = length_N[node] + 1
            entry = entry_E4[entry, NEXT]


@register_jitable
def _stays(count, length, most, shortest):
    """Whether an n-gram that came ``count`` times after a context of that length does."""
    return count > most or (length < shortest and 2 * count > most)


@register_jitable
def _set_aside(distinct):
    """How many places the runs of so many entries have."""
    if distinct > RUN:
        return (distinct + RUN - 1) // RUN * RUN
    room = 1 if distinct else 0
    while room < distinct:
        room *= 2
    return room


@compiled("int64(int32[:, ::1], int32[:, ::1], int8[::1], int64, int64, int64, int64[::1])")
def _measure(node_N4, entry_E4, length_N, contexts, most, shortest, size_4):
    """Returns how many entries would stay; ``size_4``: what they would take."""
    size_4[:] = 0
    all_kept = 0
    for node in range(len(length_N)):
        kept, entry = 0, node_N4[node, FIRST]
        for _ in range(node_N4[node, DISTINCT]):
            count = entry_E4[entry, COUNT]
            if _stays(count, length_N[node], most, shortest):
                kept += 1
                if count > 1 and length_N[node] < contexts:
                    size_4[NODES] += 1
            entry = entry_E4[entry, NEXT]
        all_kept += kept
        size_4[ENTRIES] += _set_aside(kept)
        if kept > SCANNED:
            size_4[HASHED] += kept
        if length_N[node] == 1:
            size_4[NODES] += 1
    return all_kept


@compiled(
    "void(int32[:, ::1], int32[:, ::1], int32[:, ::1], int32[:, ::1], int64[::1],"
    " int8[::1], int32[::1], int64, int64, int64, int64)"
)
def _move(node_N4, old_E4, entry_E4, slot_H2, size_4, length_N, moved_N, vocab_size, contexts, most, shortest):
    """The nodes that stay to where those before them end, and their entries to ``entry_E4``, in the order they had."""
    columns = node_N4.shape[1]
    size_4[:] = 0
    size_4[LEARNT] = 1  # LINK 0: what came next is forgotten
    slot_H2[:] = 0
    for node in range(vocab_size):
        moved_N[node] = node
    to = 0
    for node in range(len(length_N)):
        if moved_N[node] == -1:
            continue
        moved_N[node], length = to, length_N[node]
        entry, distinct = node_N4[node, FIRST], node_N4[node, DISTINCT]
        kept, total, begin, further = 0, 0, size_4[ENTRIES], 0
        for _ in range(distinct):
            count = old_E4[entry, COUNT]
            if _stays(count, length, most, shortest):
                place = begin + kept
                for column in range(columns):
                    entry_E4[place, column] = old_E4[entry, column]
                entry_E4[place, NEXT] = place + 1
                if count == 1 or length == contexts:
                    entry_E4[place, LINK] = 0
                else:
                    moved_N[old_E4[entry, LINK]] = -2  # to stay; its place is known when it comes
                kept += 1
                total += count
                if columns > BEFORE:
                    further += old_E4[entry, BEFORE]
            entry = old_E4[entry, NEXT]
        for column in range(columns):
            node_N4[to, column] = 0
        node_N4[to, TOTAL], node_N4[to, DISTINCT] = total, kept
        if columns > BEFORE:
            node_N4[to, BEFORE] = further
        if kept:
            entry_E4[begin + kept - 1, NEXT] = 0
            node_N4[to, FIRST], node_N4[to, LAST] = begin, begin + kept - 1
        size_4[ENTRIES] += _set_aside(kept)
        if kept > SCANNED:
            for place in range(begin, begin + kept):
                enter(entry_E4, slot_H2, size_4, to, place)
        to += 1
    size_4[NODES] = to
    for node in range(to, len(length_N)):
        for column in range(columns):
            node_N4[node, column] = 0
    for node in range(len(length_N)):  # links, of nodes that have entries that have nodes
        if moved_N[node] >= 0 and length_N[node] < contexts:
            entry = node_N4[moved_N[node], FIRST]
            for _ in range(node_N4[moved_N[node], DISTINCT]):
                if entry_E4[entry, COUNT] > 1:
                    entry_E4[entry, LINK] = moved_N[entry_E4[entry, LINK]]
                entry = entry_E4[entry, NEXT]
