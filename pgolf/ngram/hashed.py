"""Ratios of two hashed counters, as published: no distribution, and no score with it is a code length.

Formula: q(v) = min(f, c) / c with c = ctx[h mod B], f = full[g(h, v) mod B], B = 2^``bucket_bits``, two counters for
each order k and h a hash of the last k-1 tokens; the first order from the longest whose c is at least ``min_counts``
decides, also where f is 0. Without one, q = p, the network's row. ``hashing`` xor: h = ⊕ t_j P_j over the k-1 tokens,
the oldest with P_0, g = h ⊕ v P_{k-1}; polynomial: h = (h P_0 + t_j) mod B, g = h P_1 + v. Not ``clipped``: f/c within
[1e-8, 1 - 1e-8]. Counters take the tokens of a chunk when it is full.
Source: #187, #702, #727, #779, #846, #860; constants in the presets' files. Published with 8 processes that each saw a
part of the text; here one sees all.
Not a code length: strangers in a bucket are counted in c once and in f for every v, so that Σ_v q(v) goes towards the
vocabulary's size where buckets are few (ngram spec §1, validity §3), and what is claimed falls with every collision.
The certificate refuses it by probe a.
Bytes: none. Memory: 8 B for each order. Time: O(V) look-ups all over the counters for a row.
Hurts: always; divided by its sum it is worse than the network alone.
"""

# V vocabulary, L lanes, K orders, B buckets, C tokens of a chunk, T tokens remembered, P multipliers; in a kernel's
# arguments E rows, F signals in, S signals out

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeInt, PositiveInt

MOST_ORDER = 16
LEAST = np.float32(1e-30)  # of a row's entry
NEAREST = 1e-8  # to 0 and 1, of a ratio that is not clipped

WAITING, COUNTED = range(2)
SHORTEST, BITS, POLYNOMIAL, CLIPPED, UNIFORM, STRADDLES, START, VOCABULARY = range(8)


class HashedCounters(NamedTuple):
    context_KB: np.ndarray  # int32
    pair_KB: np.ndarray  # int32
    waiting_CK2: np.ndarray  # int32: the buckets of context and pair that are to be counted, -1: none
    past_LT: np.ndarray  # int64: the lane's last tokens, the newest last; -1: none
    fresh_L: np.ndarray  # int64: how many of them this chunk has
    size_2: np.ndarray  # int64: how many tokens are WAITING, COUNTED
    least_K: np.ndarray  # int64: of a context's count, to decide
    by_P: np.ndarray  # int64: what tokens are multiplied with
    given_8: np.ndarray  # int64


@register_jitable
def _context(past_T, length, by_P, given_8):
    """The hash of the last ``length`` tokens, -1: there are not so many."""
    hashed, first = np.int64(0), len(past_T) - length
    if past_T[first] < 0:
        return np.int64(-1)
    for j in range(length):
        if given_8[POLYNOMIAL]:
            hashed = (hashed * by_P[0] + past_T[first + j]) & ((1 << given_8[BITS]) - 1)
        else:
            hashed ^= past_T[first + j] * by_P[j]
    return hashed


@register_jitable
def _pair(hashed, length, token, by_P, given_8):
    """The bucket of that context and the token."""
    if given_8[POLYNOMIAL]:
        return (hashed * by_P[1] + token) & ((1 << given_8[BITS]) - 1)
    return (hashed ^ (token * by_P[length])) & ((1 << given_8[BITS]) - 1)


@register_jitable
def _decided(state, lane, out_S):
    """(place of the order that decides or -1: none does, its hash, its count)."""
    given_8 = state.given_8
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    if state.size_2[COUNTED] >= given_8[START]:
        for k in range(len(state.least_K) - 1, -1, -1):
            order = given_8[SHORTEST] + k
            hashed = _context(state.past_LT[lane], order - 1, state.by_P, given_8)
            if hashed >= 0:
                count = np.int64(state.context_KB[k, hashed & ((1 << given_8[BITS]) - 1)])
                if count >= state.least_K[k]:
                    out_S[0], out_S[1] = order, count
                    return np.int64(k), hashed, count
    return np.int64(-1), np.int64(-1), np.int64(0)


@register_jitable
def _ratio(both, count, clipped):
    if clipped:
        return max(np.float32(min(both, count) / count), LEAST)
    return np.float32(min(max(both / count, NEAREST), 1.0 - NEAREST))


@register_jitable
def _count(state, lane, token):
    """Note the token's buckets, and count all that wait when the chunk is full."""
    given_8, past_T, waiting = state.given_8, state.past_LT[lane], state.size_2[WAITING]
    for k in range(len(state.least_K)):
        length = given_8[SHORTEST] + k - 1
        hashed = _context(past_T, length, state.by_P, given_8)
        if hashed >= 0 and (given_8[STRADDLES] or state.fresh_L[lane] >= length):
            state.waiting_CK2[waiting, k, 0] = hashed & ((1 << given_8[BITS]) - 1)
            state.waiting_CK2[waiting, k, 1] = _pair(hashed, length, token, state.by_P, given_8)
        else:
            state.waiting_CK2[waiting, k, 0] = -1
    for t in range(len(past_T) - 1):
        past_T[t] = past_T[t + 1]
    past_T[len(past_T) - 1] = token
    state.fresh_L[lane] += 1
    state.size_2[WAITING] += 1
    if state.size_2[WAITING] == len(state.waiting_CK2):
        for c in range(len(state.waiting_CK2)):
            for k in range(len(state.least_K)):
                if state.waiting_CK2[c, k, 0] >= 0:
                    state.context_KB[k, state.waiting_CK2[c, k, 0]] += 1
                    state.pair_KB[k, state.waiting_CK2[c, k, 1]] += 1
        state.size_2[COUNTED] += len(state.waiting_CK2)
        state.size_2[WAITING] = 0
        state.fresh_L[:] = 0


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The ratios; and ``order`` and ``total`` of the context that decides, 1 and 0 where none does; ``distinct`` is not
    known and 0."""
    k, hashed, count = _decided(state, lane, out_S)
    if k < 0:
        for v in range(len(row_V)):
            row_V[v] = np.float32(1.0 / len(row_V)) if state.given_8[UNIFORM] else rows_EV[0, v]
    else:
        length, clipped, pair_B = state.given_8[SHORTEST] + k - 1, state.given_8[CLIPPED], state.pair_KB[k]
        for v in range(len(row_V)):
            row_V[v] = _ratio(pair_B[_pair(hashed, length, v, state.by_P, state.given_8)], count, clipped)


def learn(state, lane, rows_EV, in_F, token):
    """Count the token with its chunk."""
    _count(state, lane, token)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's ratio, to the bit, without the row; then count it."""
    k, hashed, count = _decided(state, lane, out_S)
    if k < 0:
        p = np.float32(1.0 / state.given_8[VOCABULARY]) if state.given_8[UNIFORM] else p_E[0]
    else:
        bucket = _pair(hashed, state.given_8[SHORTEST] + k - 1, token, state.by_P, state.given_8)
        p = _ratio(state.pair_KB[k, bucket], count, state.given_8[CLIPPED])
    _count(state, lane, token)
    return p


class Hashed:
    """See the module. ``multipliers``: P_0 …; what lies beyond them is by ``beyond`` their last, or they begin again.

    ``min_counts``: of ``min_order`` and each order above, the last of all further ones. ``straddles``: n-grams are
    counted across the ends of chunks. ``start_tokens``: so many must be counted before any decides. ``unseen``: what
    takes the place of the ratios where no order decides.
    """

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_order: Annotated[int, Between(2, MOST_ORDER)],
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        bucket_bits: Annotated[int, Between(1, 30)],
        hashing: Literal["xor", "polynomial"],
        multipliers: Sequence[int],
        beyond: Literal["wrap", "last"],
        min_counts: Sequence[int],
        clipped: bool,
        unseen: Literal["network", "uniform"],
        chunk_tokens: PositiveInt,
        straddles: bool,
        start_tokens: NonNegativeInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        """Raises ConfigError for orders, multipliers or counts that cannot be, and counters beyond the memory."""
        if min_order > max_order:
            raise ConfigError(f"ngram.min_order: {min_order} is above ngram.max_order = {max_order}")
        _check_whole("multipliers", multipliers)
        _check_whole("min_counts", min_counts)
        if hashing == "polynomial" and len(multipliers) != 2:
            raise ConfigError(f"ngram.multipliers: {list(multipliers)!r}; polynomial takes two, of context and pair")
        orders = max_order - min_order + 1
        if len(min_counts) > orders:
            raise ConfigError(f"ngram.min_counts: {len(min_counts)} for {orders} orders")
        needed_mb = (8 * orders * (1 << bucket_bits) + 8 * orders * chunk_tokens) // 1_000_000 + 1
        if needed_mb > max_memory_mb:
            raise ConfigError(
                f"ngram.max_memory_mb: {max_memory_mb}; counters of {1 << bucket_bits:,} buckets and a chunk take "
                f"{needed_mb:,} MB; allow as much, or lower ngram.bucket_bits"
            )
        if hashing == "polynomial":
            by = list(multipliers)
        elif beyond == "wrap":
            by = [multipliers[j % len(multipliers)] for j in range(max_order)]
        else:
            by = [multipliers[min(j, len(multipliers) - 1)] for j in range(max_order)]
        least = [min_counts[min(k, len(min_counts) - 1)] for k in range(orders)]
        self._arrays = (np.array(least, dtype=np.int64), np.array(by, dtype=np.int64))
        self._given = (
            min_order,
            bucket_bits,
            hashing == "polynomial",
            clipped,
            unseen == "uniform",
            straddles,
            start_tokens,
        )
        self._orders, self._longest, self._chunk_tokens = orders, max_order - 1, chunk_tokens

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert, whose counters are made when room is first asked for."""
        none_KB = np.zeros((self._orders, 0), dtype=np.int32)
        state = HashedCounters(
            none_KB,
            none_KB,
            np.zeros((self._chunk_tokens, self._orders, 2), dtype=np.int32),
            np.full((facts.lanes, self._longest), -1, dtype=np.int64),
            np.zeros(facts.lanes, dtype=np.int64),
            np.zeros(2, dtype=np.int64),
            *self._arrays,
            np.array([*self._given, facts.vocab_size], dtype=np.int64),
        )
        return (Stage("hashed", predict, learn, state, ("order", "total", "distinct"), score=score, reserve=reserve),)


def reserve(state: HashedCounters, tokens: int) -> HashedCounters:
    """The counters, however many tokens there will be."""
    if state.context_KB.shape[1]:
        return state
    shape = len(state.least_K), 1 << int(state.given_8[BITS])
    return state._replace(context_KB=np.zeros(shape, dtype=np.int32), pair_KB=np.zeros(shape, dtype=np.int32))


def _check_whole(name: str, values: Sequence[int]) -> None:
    whole = isinstance(values, list | tuple) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 for value in values
    )
    if not whole or not values:
        raise ConfigError(f"ngram.{name}: {values!r} is no list of whole numbers above 0")
