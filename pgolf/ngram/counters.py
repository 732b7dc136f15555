"""Two hashed counters for each order, of contexts and of pairs of context and token. No word of the command line.

``hashing`` xor: h = ⊕ t_j P_j over a context's tokens, the oldest with P_0, its pair with v: h ⊕ v P_{k-1}; polynomial:
h = (h P_0 + t_j) mod B, the pair h P_1 + v. Both modulo B = 2^``bucket_bits``. Counters take the tokens of a chunk when
it is full. Strangers in a bucket are counted: in a context's once, and for every v in a pair's.

``ranks``: as many processes as a score was published with, each with counters of its own, of the tokens that it scores
itself. ``rank_tokens`` is how many of them come before the next rank's turn, and all ranks' chunks are full at one
time; 0: each rank has one stretch of the stream. The contexts are everybody's.
"""

# R ranks, L lanes, K orders, B buckets, C tokens of a chunk, T tokens remembered, P multipliers

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts

MOST_ORDER = 16
LEAST = np.float32(1e-30)  # of a row's entry

WAITING, COUNTED, MET = range(3)
SHORTEST, BITS, POLYNOMIAL, STRADDLES, START, VOCABULARY, RANKS, TURN, TARGETS = range(9)


class HashedCounters(NamedTuple):
    context_KB: np.ndarray  # int32 [R·K, B]
    pair_KB: np.ndarray  # int32 [R·K, B]
    waiting_CK2: np.ndarray  # int32: the buckets of context and pair that are to be counted, -1: none
    past_LT: np.ndarray  # int64: the lane's last tokens, the newest last; -1: none
    fresh_L: np.ndarray  # int64: how many of them this chunk has
    size_3: np.ndarray  # int64: how many tokens are WAITING, COUNTED; MET: see ``seen``
    least_K: np.ndarray  # int64: of a context's count, to be taken for seen
    own_KX: np.ndarray  # float64: what the technique alone knows
    by_P: np.ndarray  # int64: what tokens are multiplied with
    given_9: np.ndarray  # int64


@register_jitable
def context_hash(past_T, length, by_P, given_9):
    """The hash of the last ``length`` tokens, -1: there are not so many."""
    hashed, first = np.int64(0), len(past_T) - length
    if past_T[first] < 0:
        return np.int64(-1)
    for j in range(length):
        if given_9[POLYNOMIAL]:
            hashed = (hashed * by_P[0] + past_T[first + j]) & ((1 << given_9[BITS]) - 1)
        else:
            hashed ^= past_T[first + j] * by_P[j]
    return hashed


@register_jitable
def pair_bucket(hashed, length, token, by_P, given_9):
    """The bucket of that context and the token."""
    if given_9[POLYNOMIAL]:
        return (hashed * by_P[1] + token) & ((1 << given_9[BITS]) - 1)
    return (hashed ^ (token * by_P[length])) & ((1 << given_9[BITS]) - 1)


@register_jitable
def table(place, k, orders, given_9):
    """Where the counters of order ``k`` are, of the rank that scores the stream's target at ``place``."""
    if given_9[RANKS] == 1:
        return np.int64(k)
    if given_9[TURN]:
        return (place // given_9[TURN]) % given_9[RANKS] * orders + k
    return place * given_9[RANKS] // given_9[TARGETS] * orders + k


@register_jitable
def table_now(state, k):
    """That of the token to come."""
    return table(state.size_3[WAITING] + state.size_3[COUNTED], k, len(state.least_K), state.given_9)


@register_jitable
def _decides(state, lane):
    given_9 = state.given_9
    if state.size_3[COUNTED] >= given_9[START]:
        for k in range(len(state.least_K) - 1, -1, -1):
            order = given_9[SHORTEST] + k
            hashed = context_hash(state.past_LT[lane], order - 1, state.by_P, given_9)
            if hashed >= 0:
                count = np.int64(state.context_KB[table_now(state, k), hashed & ((1 << given_9[BITS]) - 1)])
                if count >= state.least_K[k]:
                    return np.int64(k), hashed, count
    return np.int64(-1), np.int64(-1), np.int64(0)


@register_jitable
def decided(state, lane, out_S):
    """(place of the order that decides or -1: none does, its hash, its count)."""
    k, hashed, count = _decides(state, lane)
    out_S[0], out_S[1], out_S[2] = (state.given_9[SHORTEST] + k if k >= 0 else 1), count, 0
    return k, hashed, count


@register_jitable
def note(state, k, hashed, token):
    """For ``seen``; ``k``: what has ``decided``."""
    met = np.int64(-1)
    if k >= 0:
        bucket = pair_bucket(hashed, state.given_9[SHORTEST] + k - 1, token, state.by_P, state.given_9)
        met = np.int64(state.pair_KB[table_now(state, k), bucket])
    state.size_3[MET] = met


def seen(state):
    """See ``Stage``, of the context that decides, strangers in its bucket among its tokens."""
    return state.size_3[MET]


@register_jitable
def count_in_chunks(state, lane, token):
    """Note the token's buckets, and count all that wait when the chunk is full, or its rank has no more."""
    given_9, past_T, waiting = state.given_9, state.past_LT[lane], state.size_3[WAITING]
    for k in range(len(state.least_K)):
        length = given_9[SHORTEST] + k - 1
        hashed = context_hash(past_T, length, state.by_P, given_9)
        if hashed >= 0 and (given_9[STRADDLES] or state.fresh_L[lane] >= length):
            state.waiting_CK2[waiting, k, 0] = hashed & ((1 << given_9[BITS]) - 1)
            state.waiting_CK2[waiting, k, 1] = pair_bucket(hashed, length, token, state.by_P, given_9)
        else:
            state.waiting_CK2[waiting, k, 0] = -1
    for t in range(len(past_T) - 1):
        past_T[t] = past_T[t + 1]
    past_T[len(past_T) - 1] = token
    state.fresh_L[lane] += 1
    state.size_3[WAITING] += 1
    counted, orders = state.size_3[COUNTED], len(state.least_K)
    last = table(counted + waiting, 0, orders, given_9) != table_now(state, 0) and given_9[TURN] == 0
    if state.size_3[WAITING] == len(state.waiting_CK2) or last:
        for c in range(waiting + 1):
            for k in range(orders):
                if state.waiting_CK2[c, k, 0] >= 0:
                    at = table(counted + c, k, orders, given_9)
                    state.context_KB[at, state.waiting_CK2[c, k, 0]] += 1
                    state.pair_KB[at, state.waiting_CK2[c, k, 1]] += 1
        state.size_3[COUNTED] += waiting + 1
        state.size_3[WAITING] = 0
        state.fresh_L[:] = 0


def learn(state, lane, rows_EV, in_F, token):
    """Count the token with its chunk."""
    k, hashed, _ = _decides(state, lane)
    note(state, k, hashed, token)
    count_in_chunks(state, lane, token)


@dataclass(frozen=True)
class Counters:
    """What the counters are made of. ``multipliers``: P_0 …; what lies beyond them is by ``beyond`` their last, or they
    begin again. ``min_counts``: of ``min_order`` and each order above, the last of all further ones. ``straddles``:
    n-grams are counted across the ends of chunks. ``start_tokens``: so many must be counted before any is seen.
    ``chunk_tokens`` are those of a rank. ``group``: of the settings, where they are complained of.

    Raises ConfigError for orders, multipliers or counts that cannot be, and counters beyond the memory.
    """

    min_order: int
    max_order: int
    bucket_bits: int
    hashing: Literal["xor", "polynomial"]
    multipliers: Sequence[int]
    beyond: Literal["wrap", "last"]
    min_counts: Sequence[int]
    chunk_tokens: int
    straddles: bool
    start_tokens: int
    max_memory_mb: int
    ranks: int = 1
    rank_tokens: int = 0
    group: str = "ngram"

    def __post_init__(self) -> None:
        if self.min_order > self.max_order:
            raise ConfigError(
                f"{self.group}.min_order: {self.min_order} is above {self.group}.max_order = {self.max_order}"
            )
        _check_whole(f"{self.group}.multipliers", self.multipliers)
        _check_whole(f"{self.group}.min_counts", self.min_counts)
        if self.hashing == "polynomial" and len(self.multipliers) != 2:
            raise ConfigError(
                f"{self.group}.multipliers: {list(self.multipliers)!r}; polynomial takes two, of context and pair"
            )
        if len(self.min_counts) > self.orders:
            raise ConfigError(f"{self.group}.min_counts: {len(self.min_counts)} for {self.orders} orders")
        needed_mb = 8 * self.orders * self.ranks * ((1 << self.bucket_bits) + self.chunk_tokens) // 1_000_000 + 1
        if needed_mb > self.max_memory_mb:
            of_ranks = f" for {self.ranks} ranks" if self.ranks > 1 else ""
            raise ConfigError(
                f"{self.group}.max_memory_mb: {self.max_memory_mb}; counters of {1 << self.bucket_bits:,} buckets "
                f"and a chunk take {needed_mb:,} MB{of_ranks}; allow as much, or lower {self.group}.bucket_bits"
            )

    @property
    def orders(self) -> int:
        return self.max_order - self.min_order + 1

    def state(self, facts: Facts, own_KX: Sequence[Sequence[float]]) -> HashedCounters:
        """Nothing counted; the counters themselves are made when room is first asked for.

        Raises ConfigError for ranks in lanes: which of them a target belongs to is told by its place in the stream.
        """
        if self.ranks > 1 and facts.lanes > 1:
            raise ConfigError(f"{self.group}.ranks: {self.ranks} with eval.lanes = {facts.lanes}; ranks take one lane")
        polynomial, last = self.hashing == "polynomial", len(self.multipliers) - 1
        if polynomial:
            by = list(self.multipliers)
        elif self.beyond == "wrap":
            by = [self.multipliers[j % (last + 1)] for j in range(self.max_order)]
        else:
            by = [self.multipliers[min(j, last)] for j in range(self.max_order)]
        least = [self.min_counts[min(k, len(self.min_counts) - 1)] for k in range(self.orders)]
        none_KB = np.zeros((self.orders, 0), dtype=np.int32)
        waiting = self.chunk_tokens * (self.ranks if self.rank_tokens else 1)
        given = (
            self.min_order,
            self.bucket_bits,
            polynomial,
            self.straddles,
            self.start_tokens,
            facts.vocab_size,
            self.ranks,
            self.rank_tokens,
            facts.targets,
        )
        return HashedCounters(
            none_KB,
            none_KB,
            np.zeros((waiting, self.orders, 2), dtype=np.int32),
            np.full((facts.lanes, self.max_order - 1), -1, dtype=np.int64),
            np.zeros(facts.lanes, dtype=np.int64),
            np.array([0, 0, -1], dtype=np.int64),
            np.array(least, dtype=np.int64),
            np.array(own_KX, dtype=np.float64),
            np.array(by, dtype=np.int64),
            np.array(given, dtype=np.int64),
        )


def reserve(state: HashedCounters, tokens: int) -> HashedCounters:
    """The counters, however many tokens there will be."""
    if state.context_KB.shape[1]:
        return state
    shape = len(state.least_K) * int(state.given_9[RANKS]), 1 << int(state.given_9[BITS])
    return state._replace(context_KB=np.zeros(shape, dtype=np.int32), pair_KB=np.zeros(shape, dtype=np.int32))


def _check_whole(name: str, values: Sequence[int]) -> None:
    whole = isinstance(values, list | tuple) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 for value in values
    )
    if not whole or not values:
        raise ConfigError(f"{name}: {values!r} is no list of whole numbers above 0")
