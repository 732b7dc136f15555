"""Three experts from counts with a constant added: unigram, bigram, and trigram in rows shared by hashed contexts.

Formula: q_k(v) = (c_k(v) + δ_k) / (max(C_k, ``least_total``) + δ_k V), c_k(v) how often v came after the last k-1
tokens and C_k = Σ_v c_k(v); the trigram's counts lie in row (x_{t-2} P_0 ⊕ x_{t-1} P_1) mod 2^``row_bits``. Without so
many tokens before, q_k is the network's row. Counters take the tokens of a chunk when it is full.
Source: #687, #688, #733, as experts of their hedge. Contexts that share a row are harmless, since all of a row is
counted and divided by its own sum. Published with ``least_total`` 1, by which a row that nothing has been counted in
sums to less than one (0.91 for a trigram at V = 1024): wasteful, and no offence.
Bytes: none. Memory: 4 B V (1 + V + 2^row_bits). Time: O(V) for each of three rows.
Hurts: that little is learnt: 0.0004 bits per byte on a strong network (#687's first three experts).
"""

# R rows, L lanes, C tokens of a chunk, V vocabulary; in a kernel's arguments E rows, F signals in, S signals out

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeInt, PositiveFloat, PositiveInt

MULTIPLIERS = (36313, 27191)  # P_0, P_1
WAITING, MET = range(2)
LENGTH, ROWS, CHUNK, LEAST = range(4)


class CountedRows(NamedTuple):
    count_RV: np.ndarray  # int32
    total_R: np.ndarray  # int64
    waiting_C2: np.ndarray  # int64: row and token that are to be counted; a row of -1: none
    size_2: np.ndarray  # int64: how many of these are WAITING; MET: see ``seen``
    past_L2: np.ndarray  # int64: the lane's last tokens, the newest last; -1: none
    added_1: np.ndarray  # float64: δ
    given_4: np.ndarray  # int64: tokens of a context, rows, tokens of a chunk, least total


@register_jitable
def _row(state, lane):
    """The row of the context that the lane is in; -1: it is too short."""
    past_2, length = state.past_L2[lane], state.given_4[LENGTH]
    if length == 0:
        return np.int64(0)
    if past_2[2 - length] < 0:
        return np.int64(-1)
    if length == 1:
        return past_2[1]
    return ((past_2[0] * MULTIPLIERS[0]) ^ (past_2[1] * MULTIPLIERS[1])) & (state.given_4[ROWS] - 1)


@register_jitable
def _share(state, row, token, vocab_size):
    total = max(state.total_R[row], state.given_4[LEAST])
    return np.float32((state.count_RV[row, token] + state.added_1[0]) / (total + state.added_1[0] * vocab_size))


@register_jitable
def _tell(state, row, out_S):
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    if row >= 0 and state.total_R[row] > 0:
        out_S[0], out_S[1] = state.given_4[LENGTH] + 1, state.total_R[row]


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row's shares; and its ``order`` and ``total``, 1 and 0 where nothing has been counted in it; ``distinct`` is
    not known and 0. Of three experts a mixer reads the trigram's."""
    row = _row(state, lane)
    _tell(state, row, out_S)
    if row < 0:
        row_V[:] = rows_EV[0]
    else:
        for v in range(len(row_V)):
            row_V[v] = _share(state, row, v, len(row_V))


@register_jitable
def _count(state, lane, token):
    waiting, row = state.size_2[WAITING], _row(state, lane)
    state.size_2[MET] = state.count_RV[row, token] if row >= 0 and state.total_R[row] > 0 else -1
    state.waiting_C2[waiting, 0], state.waiting_C2[waiting, 1] = row, token
    state.past_L2[lane, 0], state.past_L2[lane, 1] = state.past_L2[lane, 1], token
    state.size_2[WAITING] += 1
    if state.size_2[WAITING] == state.given_4[CHUNK]:
        for c in range(state.given_4[CHUNK]):
            row = state.waiting_C2[c, 0]
            if row >= 0:
                state.count_RV[row, state.waiting_C2[c, 1]] += 1
                state.total_R[row] += 1
        state.size_2[WAITING] = 0


def learn(state, lane, rows_EV, in_F, token):
    """Count the token with its chunk."""
    _count(state, lane, token)


def score(state, lane, p_E, in_F, token, out_S):
    """The token's share, to the bit, without the row; then count it."""
    row = _row(state, lane)
    _tell(state, row, out_S)
    p = p_E[0] if row < 0 else _share(state, row, token, state.count_RV.shape[1])
    _count(state, lane, token)
    return p


def seen(state):
    """See ``Stage``, of the row."""
    return state.size_2[MET]


def reserve(state: CountedRows, tokens: int) -> CountedRows:
    """The counters, however many tokens there will be."""
    if len(state.count_RV):
        return state
    shape = int(state.given_4[ROWS]), state.count_RV.shape[1]
    return state._replace(count_RV=np.zeros(shape, dtype=np.int32), total_R=np.zeros(shape[0], dtype=np.int64))


class RowCounts:
    """See the module. ``added`` and ``added_trigram``: δ of unigram and bigram, and of the trigram."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        added: PositiveFloat,
        added_trigram: PositiveFloat,
        row_bits: Annotated[int, Between(1, 24)],
        least_total: NonNegativeInt,
        chunk_tokens: PositiveInt,
        max_memory_mb: PositiveInt,
    ) -> None:
        self.added = (added, added, added_trigram)
        self.row_bits, self.least_total, self.chunk_tokens = row_bits, least_total, chunk_tokens
        self.max_memory_mb = max_memory_mb

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """Three experts. Raises ConfigError where their counters do not fit in ``max_memory_mb``."""
        size = facts.vocab_size
        rows = (1, size, 1 << self.row_bits)
        needed_mb = 4 * size * sum(rows) // 1_000_000 + 1
        if needed_mb > self.max_memory_mb:
            raise ConfigError(
                f"ngram.max_memory_mb: {self.max_memory_mb}; rows of {size:,} counters take {needed_mb:,} MB; allow as "
                "much, or lower ngram.row_bits"
            )
        names, signals = ("unigram", "bigram", "trigram"), ("order", "total", "distinct")
        return tuple(
            Stage(
                name,
                predict,
                learn,
                self._state(facts, length, rows[length]),
                signals,
                score=score,
                reserve=reserve,
                learns_from="token",
                seen=seen,
            )
            for length, name in enumerate(names)
        )

    def _state(self, facts: Facts, length: int, rows: int) -> CountedRows:
        """Nothing counted; the counters themselves are made when room is first asked for."""
        return CountedRows(
            count_RV=np.zeros((0, facts.vocab_size), dtype=np.int32),
            total_R=np.zeros(0, dtype=np.int64),
            waiting_C2=np.full((self.chunk_tokens, 2), -1, dtype=np.int64),
            size_2=np.array([0, -1], dtype=np.int64),
            past_L2=np.full((facts.lanes, 2), -1, dtype=np.int64),
            added_1=np.array([self.added[length]], dtype=np.float64),
            given_4=np.array([length, rows, self.chunk_tokens, self.least_total], dtype=np.int64),
        )
