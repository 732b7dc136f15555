"""Stores that begin with counts of training text. No word of the command line.

A context's successors that are not packed leave a rest of its count, LOST, which goes to the order below with what the
discount takes.
"""

# N n-grams, the V tokens first; E = N - V of them entries of a context

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgolf.ngram import trie
from pgolf.ngram.packed_counts import NGrams, count_of

MOST_TOTAL = 1 << 14  # of a context; whatever bytes say, that of each of 2^16 successors is an int32 in sum


@dataclass(frozen=True)
class Laid:
    """N-grams as a store has them: contexts with runs of 1, 1, 2, 4 … entries, one context's after another's."""

    owner_E: np.ndarray  # an entry's context
    token_E: np.ndarray
    count_E: np.ndarray
    distinct_N: np.ndarray
    total_N: np.ndarray  # LOST included
    lost_N: np.ndarray
    begin_N: np.ndarray  # of a context's runs
    place_E: np.ndarray
    used: int  # places, from the first on

    @property
    def next_E(self) -> np.ndarray:
        """The place of the context's next entry, 0 after the last."""
        return np.append(np.where(self.owner_E[1:] == self.owner_E[:-1], self.place_E[1:], 0), 0)[: len(self.place_E)]


class TrainingCounts:
    """Counts to begin with; ``ngrams``: how many, of two tokens and more."""

    def __init__(self, packed: NGrams, most: int) -> None:
        """``most``: what a context may have come; what came oftener is scaled down."""
        self._packed, self._most, self._vocab_size = packed, most, int(packed.stop_K[0])
        self.ngrams = len(packed.size_N) - self._vocab_size

    def in_tree(
        self,
        state: Any,
        node_columns: Sequence[int],
        entry_columns: Sequence[int],
        run: int,
        hashed: Callable[[np.ndarray, int], np.ndarray],
    ) -> Any:
        """The state of a ``pgolf.mixer.tree`` that has counted nothing yet, with these counts.

        ``node_columns``: where a context has its total, number of distinct entries, first and last of them, what is
        lost and its latest; ``entry_columns``: where an entry has its token, count, next and context; ``run``: the
        longest of entries; ``hashed``: a table of the entries, given how many there are.
        """
        laid = self._laid(state.here_LK.shape[1], self._vocab_size, run, 1)
        node_N8 = np.zeros((laid.used, state.node_N8.shape[1]), dtype=np.int32)
        entry_N4 = np.zeros((laid.used, 4), dtype=np.int32)
        context_N = np.concatenate([np.arange(self._vocab_size), laid.place_E])
        favourite_N, by_count_E = np.zeros_like(laid.total_N), np.argsort(laid.count_E, kind="stable")
        favourite_N[laid.owner_E[by_count_E]] = laid.token_E[by_count_E]  # of those with one owner the last stays
        followed_N, last_N = laid.distinct_N > 0, laid.begin_N + laid.distinct_N - 1
        # The favourite has come no time in a row.
        of_nodes = laid.total_N, laid.distinct_N, laid.begin_N, last_N, laid.lost_N, favourite_N
        for column, value_N in zip(node_columns, of_nodes, strict=True):
            node_N8[context_N[followed_N], column] = value_N[followed_N]
        of_entries = laid.token_E, laid.count_E, laid.next_E, context_N[laid.owner_E]
        for column, value_E in zip(entry_columns, of_entries, strict=True):
            entry_N4[laid.place_E, column] = value_E
        entries = len(laid.owner_E)
        return state._replace(
            node_N8=node_N8,
            entry_N4=entry_N4,
            slot_H=hashed(entry_N4, entries),
            size_3=np.array([laid.used, entries, entries], dtype=np.int64),  # as if so many tokens were learnt
        )

    def in_trie(self, state: trie.ContextTrie) -> trie.ContextTrie:
        """The state of a trie that has counted nothing yet, with these counts; its entries came twice at least."""
        laid = self._laid(state.here_LK.shape[1], 0, trie.RUN, 2)
        nodes, entries = len(laid.total_N), len(laid.owner_E)
        node_N6 = np.zeros((nodes, trie.LOST + 1), dtype=np.int32)
        entry_E4 = np.zeros((laid.used, 4), dtype=np.int32)
        followed_N = laid.distinct_N > 0
        for column, value_N in (
            (trie.TOTAL, laid.total_N),
            (trie.DISTINCT, laid.distinct_N),
            (trie.FIRST, laid.begin_N),
            (trie.LAST, laid.begin_N + laid.distinct_N - 1),
            (trie.LOST, laid.lost_N),
        ):
            node_N6[followed_N, column] = value_N[followed_N]
        entry_E4[laid.place_E, trie.TOKEN], entry_E4[laid.place_E, trie.COUNT] = laid.token_E, laid.count_E
        entry_E4[laid.place_E, trie.NEXT] = laid.next_E
        entry_E4[laid.place_E, trie.LINK] = np.arange(self._vocab_size, nodes)
        known_E = laid.distinct_N[laid.owner_E] > trie.SCANNED  # to the hash table
        slot_H2 = trie.hashed(laid.owner_E[known_E], laid.place_E[known_E], entry_E4, int(trie.SPARE * entries) + 1)
        return state._replace(
            node_N4=node_N6,
            entry_E4=entry_E4,
            slot_H2=slot_H2,
            size_4=np.array([nodes, laid.used, known_E.sum(), 0], dtype=np.int64),
        )

    def _laid(self, contexts: int, start: int, run: int, least: int) -> Laid:
        """Those not longer than ``contexts`` and a token, each come ``least`` times, from place ``start`` on."""
        packed, first = self._packed, self._vocab_size
        stop = int(packed.stop_K[min(contexts, len(packed.stop_K) - 1)])
        owner_E, token_E = packed.before_N[first:stop], packed.token_N[first:stop]
        first_N = np.minimum(packed.first_N[: stop + 1], stop)
        distinct_N = np.diff(first_N)
        came_N = np.maximum(count_of(packed.size_N[:stop]), 1)
        scale_N = np.minimum(1.0, self._most / came_N)
        count_E = np.maximum(np.rint(came_N[first:] * scale_N[owner_E]), least).astype(np.int64)
        kept_N = np.bincount(owner_E, weights=count_E, minlength=stop).astype(np.int64)
        total_N = np.maximum(np.rint(came_N * scale_N).astype(np.int64), kept_N)
        room_N, few_N = -(-distinct_N // run) * run, (distinct_N > 0) & (distinct_N <= run)
        room_N[few_N] = 1 << np.ceil(np.log2(distinct_N[few_N])).astype(np.int64)
        begin_N = start + np.cumsum(room_N) - room_N
        place_E = begin_N[owner_E] + np.arange(first, stop) - first_N[owner_E]
        used = start + int(room_N.sum())
        return Laid(owner_E, token_E, count_E, distinct_N, total_N, total_N - kept_N, begin_N, place_E, used)
