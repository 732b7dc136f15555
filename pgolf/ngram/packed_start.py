"""Stores that start with counts of the training text. No word of the command line.

A context's successors that are not packed leave a rest of its count, LOST, which goes to the order below with what the
discount takes. Only the proportions of a context's counts are known to matter: those that came more than ``most`` times
are scaled down to that, so that a stream of its own counts for something beside them.
"""

# N n-grams, the V tokens first; E = N - V of them entries of a context

from __future__ import annotations

import numpy as np

from pgolf.mixer.tree import (
    BEFORE,
    COUNT,
    DISTINCT,
    FIRST,
    LAST,
    LOST,
    NEXT,
    RECENT,
    RUN_LENGTH,
    SPARE,
    TOKEN,
    TOTAL,
    TreeMixer,
    hashed,
)
from pgolf.ngram.packed_counts import NGrams, count_of


class TrainingCounts:
    """Counts to start with; ``ngrams``: how many, of two tokens and more."""

    def __init__(self, packed: NGrams, most: int) -> None:
        """``most``: that a context may have come."""
        self._packed, self._most = packed, most
        self.ngrams = len(packed.size_N) - int(packed.stop_K[0])

    def in_tree(self, state: TreeMixer) -> TreeMixer:
        """The state of a tree that has counted nothing yet, with these counts."""
        packed, vocab_size = self._packed, int(self._packed.stop_K[0])
        depth = state.here_LK.shape[1]
        stop = int(packed.stop_K[min(depth, len(packed.stop_K) - 1)])  # what is longer than its contexts is left out
        first_N = np.minimum(packed.first_N[: stop + 1], stop)
        owner_E = packed.before_N[vocab_size:stop]
        token_E = packed.token_N[vocab_size:stop]
        total_N = np.maximum(count_of(packed.size_N[:stop]), 1)
        scale_N = np.minimum(1.0, self._most / total_N)
        count_E = np.maximum(np.rint(total_N[vocab_size:] * scale_N[owner_E]), 1).astype(np.int64)
        distinct_N = np.diff(first_N)
        kept_N = np.bincount(owner_E, weights=count_E, minlength=stop).astype(np.int64)
        total_N = np.maximum(np.rint(total_N * scale_N).astype(np.int64), kept_N)
        # runs of 1, 1, 2, 4 … RUN_LENGTH, RUN_LENGTH … of one context, one after another
        room_N = np.where(distinct_N > RUN_LENGTH, -(-distinct_N // RUN_LENGTH) * RUN_LENGTH, 0)
        few_N = (distinct_N > 0) & (distinct_N <= RUN_LENGTH)
        room_N[few_N] = 1 << np.ceil(np.log2(distinct_N[few_N])).astype(np.int64)
        begin_N = vocab_size + np.cumsum(room_N) - room_N
        place_E = begin_N[owner_E] + np.arange(vocab_size, stop) - first_N[owner_E]
        place_N = np.concatenate([np.arange(vocab_size), place_E])
        used = int(vocab_size + room_N.sum())
        node_N8 = np.zeros((used, state.node_N8.shape[1]), dtype=np.int32)
        entry_N4 = np.zeros((used, 4), dtype=np.int32)
        entry_N4[place_E, TOKEN], entry_N4[place_E, COUNT] = token_E, count_E
        entry_N4[place_E, BEFORE] = place_N[owner_E]
        entry_N4[place_E[:-1], NEXT] = np.where(owner_E[1:] == owner_E[:-1], place_E[1:], 0)
        followed_N = distinct_N > 0
        node = place_N[followed_N]
        favourite_N = np.zeros(stop, dtype=np.int64)
        by_count_E = np.argsort(count_E, kind="stable")
        favourite_N[owner_E[by_count_E]] = token_E[by_count_E]  # of those with one owner the last stays
        for column, value_N in (
            (TOTAL, total_N),
            (DISTINCT, distinct_N),
            (FIRST, begin_N),
            (LAST, begin_N + distinct_N - 1),
            (LOST, total_N - kept_N),
            (RECENT, favourite_N),  # which has come no time in a row
        ):
            node_N8[node, column] = value_N[followed_N]
        return state._replace(
            node_N8=node_N8,
            entry_N4=entry_N4,
            slot_H=hashed(entry_N4, int(SPARE * len(owner_E)) + 1),
            size_3=np.array([used, len(owner_E), len(owner_E)], dtype=np.int64),  # as if so many tokens were learnt
        )
