"""Counts by chunks, in sorted runs of n-grams instead of a trie: all of a chunk's look-ups and counting at once.

Formula: that of ``ngram=backoff``, of the counts of all chunks that are full and complete; contexts are up to date.
An n-gram of order k is one number, its tokens' bits beside each other; what followed a context is then one stretch of
numbers. A run holds distinct n-grams in ascending order with the sums of their counts, and of how many of them no
earlier run has: C and d of a context are differences of those at both ends of its stretch, found by bisection. A full
chunk is a new run; the last runs are merged while the last has half as many n-grams as the one before, or there are
more than 8.
Source: log-structured merging (O'Neil et al. 1996); Bentley and Saxe 1980.
Bytes: none. Memory: 24 bytes for each distinct n-gram, and as much again while runs are merged. Time: O(V) a row, 16
bisections an order, and each chunk a copy of all runs; merging takes torch's ``unique`` and ``searchsorted``, which a
GPU has too (see ``prices``).
Hurts: what came in this very chunk is not known yet; orders whose tokens need more than 62 bits cannot be had.
"""

# V vocabulary, L lanes, K orders, R n-grams of an order in all runs, C tokens that wait, I positions; Q queries of one
# order; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from numba.extending import register_jitable
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.trie import SIGNALS, check_orders

MOST_RUNS = 8
MOST_BITS = 62
BYTES_EACH = 48  # of an n-gram, with what stands beside it while runs are merged
LEAST = np.float32(1e-30)
END = np.int64((1 << 63) - 1)  # beyond every n-gram

TOTAL, DISTINCT, COUNTED, SHARE = range(4)
BITS, SHORTEST, CHUNK = range(3)


class SortedRuns(NamedTuple):
    key_KR: np.ndarray  # int64, run after run
    count_KR: np.ndarray  # int64 [K, R + 1]: how often all before came
    fresh_KR: np.ndarray  # int64 [K, R + 1]: how many of all before were in no earlier run
    begin_K9: np.ndarray  # int64: where each run begins, and the last ends
    waiting_KC: np.ndarray  # int64: n-grams to be counted, -1: none
    past_LT: np.ndarray  # int64: the lane's last tokens, the newest last; -1: none
    size_1: np.ndarray  # int64: how many tokens wait
    stretch_K82: np.ndarray  # int64: where in each run the context's n-grams begin and end
    found_K4: np.ndarray  # float64: TOTAL, DISTINCT, COUNTED, SHARE
    discount_1: np.ndarray  # float64
    given_3: np.ndarray  # int64: BITS, SHORTEST, CHUNK


@register_jitable
def _bisect(key_R, low, high, key):
    """The first place from ``low`` to ``high`` whose number is not below ``key``."""
    while low < high:
        middle = (low + high) >> 1
        if key_R[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@register_jitable
def _context(past_T, length, bits):
    """Of the last ``length`` tokens, with room for one more; -1: there are not so many."""
    number, first = np.int64(0), len(past_T) - length
    if past_T[first] < 0:
        return np.int64(-1)
    for t in range(first, len(past_T)):
        number = (number << bits) | past_T[t]
    return number << bits


@register_jitable
def _look(state, lane, token):
    """What is known of the lane's contexts, and of the token where there is one; returns how many orders know any."""
    bits, found_K4, known = state.given_3[BITS], state.found_K4, 0
    for k in range(len(found_K4)):
        found_K4[k, TOTAL], found_K4[k, DISTINCT], found_K4[k, COUNTED] = 0.0, 0.0, 0.0
        low = _context(state.past_LT[lane], state.given_3[SHORTEST] - 1 + k, bits)
        if low < 0:
            break
        key_R, count_R, fresh_R = state.key_KR[k], state.count_KR[k], state.fresh_KR[k]
        for r in range(MOST_RUNS):
            begin, end = state.begin_K9[k, r], state.begin_K9[k, r + 1]
            first = _bisect(key_R, begin, end, low)
            last = _bisect(key_R, first, end, low + (np.int64(1) << bits))
            state.stretch_K82[k, r, 0], state.stretch_K82[k, r, 1] = first, last
            found_K4[k, TOTAL] += count_R[last] - count_R[first]
            found_K4[k, DISTINCT] += fresh_R[last] - fresh_R[first]
            if token >= 0:
                place = _bisect(key_R, first, last, low + token)
                if place < last and key_R[place] == low + token:
                    found_K4[k, COUNTED] += count_R[place + 1] - count_R[place]
        if found_K4[k, TOTAL] == 0:
            break
        known = k + 1
    return known


@register_jitable
def _tell(state, known, out_S):
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    if known > 0:
        found_4 = state.found_K4[known - 1]
        out_S[0], out_S[1], out_S[2] = state.given_3[SHORTEST] + known - 1, found_4[TOTAL], found_4[DISTINCT]


@register_jitable
def _wait(state, lane, token):
    """The token's n-grams, until their chunk is counted."""
    past_T, bits = state.past_LT[lane], state.given_3[BITS]
    for k in range(len(state.waiting_KC)):
        number = _context(past_T, state.given_3[SHORTEST] - 1 + k, bits)
        state.waiting_KC[k, state.size_1[0]] = number + token if number >= 0 else -1
    state.size_1[0] += 1
    for t in range(len(past_T) - 1):
        past_T[t] = past_T[t + 1]
    past_T[len(past_T) - 1] = token


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, ``total``, ``distinct`` of the longest context that was seen, 1, 0, 0 where none was."""
    known, found_K4, discount = _look(state, lane, -1), state.found_K4, state.discount_1[0]
    _tell(state, known, out_S)
    share, mask = 1.0, (np.int64(1) << state.given_3[BITS]) - 1
    for k in range(known - 1, -1, -1):
        found_K4[k, SHARE] = share / found_K4[k, TOTAL]
        share *= discount * found_K4[k, DISTINCT] / found_K4[k, TOTAL]
    below = np.float32(share)
    for v in range(len(row_V)):
        row_V[v] = max(below * rows_EV[0, v], LEAST)
    for k in range(known):
        key_R, count_R, fresh_R = state.key_KR[k], state.count_KR[k], state.fresh_KR[k]
        for r in range(MOST_RUNS):
            for i in range(state.stretch_K82[k, r, 0], state.stretch_K82[k, r, 1]):
                left = count_R[i + 1] - count_R[i] - discount * (fresh_R[i + 1] - fresh_R[i])
                row_V[key_R[i] & mask] += np.float32(found_K4[k, SHARE] * left)


def learn(state, lane, rows_EV, in_F, token):
    """The token waits for its chunk; what is known of it now, ``seen`` tells."""
    _look(state, lane, token)
    _wait(state, lane, token)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, without the row; then it waits for its chunk."""
    known, found_K4, discount = _look(state, lane, token), state.found_K4, state.discount_1[0]
    _tell(state, known, out_S)
    p = np.float64(p_E[0])
    for k in range(known):
        kept = discount * found_K4[k, DISTINCT] * p
        p = (max(found_K4[k, COUNTED] - discount, 0.0) + kept) / found_K4[k, TOTAL]
    _wait(state, lane, token)
    return max(np.float32(p), LEAST)


def seen(state):
    """See ``Stage``, of the longest context that was seen."""
    met = np.int64(-1)
    for k in range(len(state.found_K4)):
        if state.found_K4[k, TOTAL] == 0:
            break
        met = np.int64(state.found_K4[k, COUNTED])
    return met


class SortedRun(NamedTuple):
    """N-grams of one order, on any device; ``fresh_R``: 1 of those that no earlier run has, else 0."""

    key_R: Tensor
    count_R: Tensor
    fresh_R: Tensor


def with_chunk(runs: Sequence[SortedRun], key_C: Tensor) -> list[SortedRun]:
    """The runs with one more chunk of n-grams, each as often as it came."""
    key_R, count_R = torch.unique(key_C, return_counts=True)
    fresh_R = torch.ones_like(key_R)
    for run in runs:
        if len(run.key_R):
            place_R = torch.searchsorted(run.key_R, key_R).clamp_(max=len(run.key_R) - 1)
            fresh_R[run.key_R[place_R] == key_R] = 0
    result = [*runs, SortedRun(key_R, count_R, fresh_R)]
    while len(result) > 1 and (2 * len(result[-1].key_R) >= len(result[-2].key_R) or len(result) > MOST_RUNS):
        first, second = result[-2:]
        key_R, place_R = torch.unique(torch.cat([first.key_R, second.key_R]), return_inverse=True)
        sums = (
            torch.zeros_like(key_R).index_add_(0, place_R, torch.cat([a, b]))
            for a, b in ((first.count_R, second.count_R), (first.fresh_R, second.fresh_R))
        )
        result[-2:] = [SortedRun(key_R, *sums)]
    return result


def prices(runs_K: Sequence[Sequence[SortedRun]], key_KI: Tensor, own_I: Tensor, bits: int, discount: float) -> Tensor:
    """What ``score`` says of these tokens, all at once on any device, float64; ``key_KI``: their n-grams, -1: none."""
    p_I = own_I.double()
    for runs, key_I in zip(runs_K, key_KI, strict=True):
        ends_3I = torch.stack([key_I >> bits << bits, ((key_I >> bits) + 1) << bits, key_I])
        total_I, distinct_I, counted_I = (torch.zeros_like(key_I) for _ in range(3))
        for run in runs:
            first_I, last_I, place_I = torch.searchsorted(run.key_R, ends_3I)
            before_2R = torch.nn.functional.pad(torch.stack([run.count_R, run.fresh_R]).cumsum(-1), (1, 0))
            total_I += before_2R[0, last_I] - before_2R[0, first_I]
            distinct_I += before_2R[1, last_I] - before_2R[1, first_I]
            at_I = place_I.clamp(max=len(run.key_R) - 1)
            counted_I += torch.where(run.key_R[at_I] == key_I, run.count_R[at_I], 0)
        mixed_I = ((counted_I - discount).clamp(min=0) + discount * distinct_I * p_I) / total_I
        p_I = torch.where((key_I >= 0) & (total_I > 0), mixed_I, p_I)
    return p_I


def runs_of(state: SortedRuns, k: int, device: str) -> list[SortedRun]:
    """Of one order, on a device."""
    ends = state.begin_K9[k].tolist()
    key_R, count_R, fresh_R = state.key_KR[k], np.diff(state.count_KR[k]), np.diff(state.fresh_KR[k])
    parts = [slice(begin, end) for begin, end in pairwise(ends) if end > begin]
    return [
        SortedRun(*(torch.tensor(table_R[part], device=device) for table_R in (key_R, count_R, fresh_R)))
        for part in parts
    ]


def reserve(state: SortedRuns, tokens: int, device: str) -> SortedRuns:
    """Count what waits once a chunk is full, and make room for so many more tokens to wait."""
    waiting = int(state.size_1[0])
    if waiting >= state.given_3[CHUNK]:
        runs_K = []
        for k, key_C in enumerate(state.waiting_KC[:, :waiting]):
            key_C = torch.tensor(key_C[key_C >= 0], device=device)
            runs_K.append(with_chunk(runs_of(state, k, device), key_C) if len(key_C) else runs_of(state, k, device))
        state, waiting = _filled(state, runs_K), 0
        state.size_1[0] = 0
    if state.waiting_KC.shape[1] < waiting + tokens:
        waiting_KC = np.full((len(state.waiting_KC), waiting + tokens), -1, dtype=np.int64)
        waiting_KC[:, :waiting] = state.waiting_KC[:, :waiting]
        state = state._replace(waiting_KC=waiting_KC)
    return state


def _filled(state: SortedRuns, runs_K: Sequence[Sequence[SortedRun]]) -> SortedRuns:
    """With these runs in the place of its own."""
    most = max(sum(len(run.key_R) for run in runs) for runs in runs_K)
    key_KR = np.full((len(runs_K), most), END)
    count_KR, fresh_KR = (np.zeros((len(runs_K), most + 1), dtype=np.int64) for _ in range(2))
    begin_K9 = np.zeros_like(state.begin_K9)
    for k, runs in enumerate(runs_K):
        ends = np.cumsum([len(run.key_R) for run in runs])
        begin_K9[k, 1:] = np.pad(ends, (0, MOST_RUNS - len(runs)), mode="edge") if runs else 0
        for run, end in zip(runs, ends.tolist(), strict=True):
            part = slice(end - len(run.key_R), end)
            key_KR[k, part] = run.key_R.cpu().numpy()
            count_KR[k, 1:][part], fresh_KR[k, 1:][part] = run.count_R.cpu().numpy(), run.fresh_R.cpu().numpy()
    return state._replace(key_KR=key_KR, count_KR=count_KR.cumsum(-1), fresh_KR=fresh_KR.cumsum(-1), begin_K9=begin_K9)


class SortedRunsBackoff:
    """See the module. A chunk is counted when room is first asked for after it is full, which is between rounds."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, 16)],
        max_order: Annotated[int, Between(2, 16)],
        discount: Annotated[float, Between(0, 1, open_low=True)],
        chunk_tokens: PositiveInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError where ``min_order`` is above ``max_order``."""
        check_orders(min_order, max_order)
        self.min_order, self.max_order, self.discount = min_order, max_order, discount
        self.chunk_tokens, self.max_memory_mb = chunk_tokens, max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert. Raises ConfigError for n-grams that are no number of 62 bits, or might take too much memory."""
        bits, orders = max(1, (facts.vocab_size - 1).bit_length()), self.max_order - self.min_order + 1
        if bits * self.max_order > MOST_BITS:
            raise ConfigError(
                f"ngram.max_order: {self.max_order}; {MOST_BITS} bits hold n-grams of {MOST_BITS // bits} of "
                f"{facts.vocab_size:,} tokens at most"
            )
        needed_mb = BYTES_EACH * orders * facts.targets // 1_000_000 + 1
        if needed_mb > self.max_memory_mb:
            raise ConfigError(
                f"ngram.max_memory_mb: {self.max_memory_mb}; sorted runs of {orders} orders of {facts.targets:,} "
                f"tokens can take {needed_mb:,} MB and are not pruned; allow as much, or lower ngram.max_order"
            )
        state = SortedRuns(
            key_KR=np.zeros((orders, 0), dtype=np.int64),
            count_KR=np.zeros((orders, 1), dtype=np.int64),
            fresh_KR=np.zeros((orders, 1), dtype=np.int64),
            begin_K9=np.zeros((orders, MOST_RUNS + 1), dtype=np.int64),
            waiting_KC=np.full((orders, 0), -1, dtype=np.int64),
            past_LT=np.full((facts.lanes, self.max_order - 1), -1, dtype=np.int64),
            size_1=np.zeros(1, dtype=np.int64),
            stretch_K82=np.zeros((orders, MOST_RUNS, 2), dtype=np.int64),
            found_K4=np.zeros((orders, 4)),
            discount_1=np.array([self.discount]),
            given_3=np.array([bits, self.min_order, self.chunk_tokens], dtype=np.int64),
        )
        counting = partial(reserve, device=facts.device)
        return (
            Stage(
                "sorted_runs",
                predict,
                learn,
                state,
                SIGNALS,
                score=score,
                reserve=counting,
                learns_from="token",
                seen=seen,
            ),
        )
