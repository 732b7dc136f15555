"""What followed the positions at which the network was most nearly in its present state: a cache of the last states.

Formula: h the input of the last MLP, m and v the mean and variance of each of its numbers over the positions before,
q = (h - m) / sqrt(v) scaled to one length and rounded to int8; s_i the product of q with that of an earlier position i,
1 where they are the same. Of the ``neighbours`` nearest positions, vote(v) = sum of exp(beta (s_i - s_1)) over those
that v followed, by the sum over all, s_1 the largest. Then P(v) = (1 - a) P_1(v) + a vote(v), a the share that the
votes have had in being right at this nearness of the nearest: after the token x, had += a vote(x) / P(x), used += 1,
a = had / used, an expectation step of the mixture.
Source: Khandelwal et al. 2020 (kNN-LM), Grave et al. 2017 (a cache of the text itself); design evaluation §8.
The nearest are looked for among the ``candidates`` or so whose signs differ from q's in the fewest places (Charikar
2002), with a threshold from every eighth of the cache. All of it is in whole numbers: the same on any machine.
Bytes: 1.6 kB of code. Memory: D + 24 ceil(D / 186) + 6 bytes a position for D numbers in a state, set aside at once.
Time: three to five nanoseconds a position in the cache for every token: 0.15 ms with all of 32,768, D = 144. A tree
mixer has all its turns to make where there is an expert, 0.2 ms more.
Measured: 40,000 tokens of dev from the 100,000th on, a default laptop artifact, streaming: 1.2604 bits per byte alone,
1.2420 with ``mixer=bucketed``, 1.2436 with ``mixer=tree`` and its counts, 1.2383 with both. A search through all
positions finds the same 1.2424, were the row to stand alone, as 512 candidates do; numbers that are not brought to one
variance 1.2458, 16 neighbours 1.2430.
Hurts: where the weights change fast (``ttt``) old states are another network's.
"""

# D numbers in a state, W words of their signs, N positions in the cache, K neighbours, B levels of nearness; in a
# kernel's arguments E rows, the network's first, F signals in (the state), V vocabulary, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveFloat, PositiveInt

SIGNALS = ("order", "total", "distinct")
MOST = 127  # of a rounded number; so many standard deviations are not cut off:
DEVIATIONS = 4.0
WORD = 62  # signs in a word, which stays positive
SAMPLED = 8  # one in so many tells where the threshold is
LEVELS = 16  # of nearness above 0
LEAST_VARIANCE = 1e-6  # of a number that has not moved yet

HAD, USED = range(2)
LEARNT, FOUND, LEVEL, CANDIDATES, MET = range(5)
M1, M2, M4 = 0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F


class NeighbourCache(NamedTuple):
    """Position n of those learnt is in the place n mod N."""

    key_ND: np.ndarray  # int8
    sign_WN: np.ndarray  # int64
    token_N: np.ndarray  # int32: what followed
    sum_2D: np.ndarray  # float64, of all states so far and of their squares
    tally_B2: np.ndarray  # float64
    setting_2: np.ndarray  # float64: beta, the product of a q with itself
    size_5: np.ndarray  # int64: LEARNT; of the last row FOUND and LEVEL; CANDIDATES; MET: see ``seen``
    # of the last row, which ``learn`` goes on with:
    query_D: np.ndarray  # int64
    sign_W: np.ndarray  # int64
    place_K: np.ndarray  # int64: the nearest, first
    product_K: np.ndarray  # int64
    vote_K: np.ndarray  # float64
    # for the work on one row:
    even_D: np.ndarray  # float64
    apart_N: np.ndarray  # int16: signs that differ
    sampled_n: np.ndarray  # int32: how many of the sample are so far apart


@register_jitable
def _ask(state, hidden_D):
    """The state as it is compared, into ``query_D`` and ``sign_W``."""
    sum_2D, query_D, sign_W, before = state.sum_2D, state.query_D, state.sign_W, max(state.size_5[LEARNT], 1)
    even_D, square = state.even_D, 1e-30
    for d in range(len(query_D)):
        mean = sum_2D[0, d] / before
        even_D[d] = (hidden_D[d] - mean) / math.sqrt(max(sum_2D[1, d] / before - mean * mean, LEAST_VARIANCE))
        square += even_D[d] * even_D[d]
    scale = math.sqrt(state.setting_2[1] / square)
    for w in range(len(sign_W)):
        sign_W[w] = 0
    for d in range(len(query_D)):
        query_D[d] = int(min(max(math.floor(even_D[d] * scale + 0.5), -MOST), MOST))
        if query_D[d] > 0:
            sign_W[d // WORD] |= 1 << (d % WORD)


@register_jitable
def _fours(x):
    """How many bits are set in each four."""
    x = x - ((x >> 1) & M1)
    return (x & M2) + ((x >> 2) & M2)


@register_jitable
def _compare(a_N, b_N, c_N, a, b, c, apart_N, count):
    """Add how many of the signs in three words differ."""
    for n in range(count):
        x = _fours(a_N[n] ^ a) + _fours(b_N[n] ^ b) + _fours(c_N[n] ^ c)
        x = (x & M4) + ((x >> 4) & M4)
        x = x + (x >> 8)
        x = x + (x >> 16)
        x = x + (x >> 32)
        apart_N[n] += x & 255


@register_jitable
def _threshold(apart_N, sampled_n, count, candidates):
    """How many signs may differ, so that about so many are left."""
    if count <= candidates:
        return len(sampled_n)
    for index in range(len(sampled_n)):
        sampled_n[index] = 0
    for n in range(0, count, SAMPLED):
        sampled_n[apart_N[n]] += 1
    below, most = 0, 0
    while below + sampled_n[most] <= candidates // SAMPLED:
        below += sampled_n[most]
        most += 1
    return most


@register_jitable
def _product(key_D, query_D):
    total = 0
    for d in range(len(query_D)):
        total += key_D[d] * query_D[d]
    return total


@register_jitable
def _find(state):
    """The nearest, into ``place_K`` and ``product_K``: how many there are."""
    place_K, product_K, apart_N = state.place_K, state.product_K, state.apart_N
    count = min(state.size_5[LEARNT], len(apart_N))
    for n in range(count):
        apart_N[n] = 0
    sign_WN, sign_W = state.sign_WN, state.sign_W
    for w in range(0, len(sign_W), 3):
        _compare(sign_WN[w], sign_WN[w + 1], sign_WN[w + 2], sign_W[w], sign_W[w + 1], sign_W[w + 2], apart_N, count)
    most = _threshold(apart_N, state.sampled_n, count, state.size_5[CANDIDATES])
    found = 0
    for n in range(count):
        if apart_N[n] > most:
            continue
        product = _product(state.key_ND[n], state.query_D)
        if found == len(place_K) and product <= product_K[found - 1]:
            continue
        k = min(found, len(place_K) - 1)
        while k > 0 and product_K[k - 1] < product:
            place_K[k], product_K[k] = place_K[k - 1], product_K[k - 1]
            k -= 1
        place_K[k], product_K[k] = n, product
        found = min(found + 1, len(place_K))
    return found


@register_jitable
def _vote(state, hidden_D, out_S):
    """Everything about the row but the row; returns the votes' share of it."""
    token_N, place_K, vote_K, size_5 = state.token_N, state.place_K, state.vote_K, state.size_5
    _ask(state, hidden_D)
    found = _find(state)
    size_5[FOUND], size_5[LEVEL], total = found, 0, 0.0
    out_S[0], out_S[1], out_S[2] = 1, found, 0
    if found == 0:
        return 0.0
    beta, one = state.setting_2
    for k in range(found):
        vote_K[k] = math.exp(beta * (state.product_K[k] - state.product_K[0]) / one)
        total += vote_K[k]
        new = 1
        for other in range(k):
            if token_N[place_K[other]] == token_N[place_K[k]]:
                new = 0
        out_S[2] += new
    for k in range(found):
        vote_K[k] /= total
    level = int(min(max(math.floor(LEVELS * state.product_K[0] / one), 0), LEVELS))
    size_5[LEVEL] = level
    out_S[0] = level + 1
    return state.tally_B2[level, HAD] / state.tally_B2[level, USED]


@register_jitable
def _keep(state, hidden_D, token, own):
    """Note how right the votes were, and keep the state with its token. ``own``: what the network gave the token."""
    size_5, tally_B2 = state.size_5, state.tally_B2
    size_5[MET] = -1
    if size_5[FOUND] > 0:
        level, right, met = size_5[LEVEL], 0.0, 0
        for k in range(size_5[FOUND]):
            if state.token_N[state.place_K[k]] == token:
                right += state.vote_K[k]
                met += 1
        size_5[MET] = met
        share = tally_B2[level, HAD] / tally_B2[level, USED]
        tally_B2[level, HAD] += share * right / (share * right + (1.0 - share) * own)
        tally_B2[level, USED] += 1.0
    place = size_5[LEARNT] % len(state.token_N)
    for d in range(len(state.query_D)):
        state.key_ND[place, d] = state.query_D[d]
        state.sum_2D[0, d] += hidden_D[d]
        state.sum_2D[1, d] += np.float64(hidden_D[d]) * hidden_D[d]
    for w in range(len(state.sign_W)):
        state.sign_WN[w, place] = state.sign_W[w]
    state.token_N[place] = token
    size_5[LEARNT] += 1


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, 1 and the level of nearness, ``total`` of the votes, ``distinct`` among them."""
    share = _vote(state, in_F, out_S)
    left = np.float32(1.0 - share)
    for v in range(len(row_V)):
        row_V[v] = left * rows_EV[0, v]
    for k in range(state.size_5[FOUND]):
        row_V[state.token_N[state.place_K[k]]] += np.float32(share * state.vote_K[k])


def learn(state, lane, rows_EV, in_F, token):
    """Keep the state that the row was made from, with its token."""
    _keep(state, in_F, token, np.float64(rows_EV[0, token]))


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then keep it."""
    share = _vote(state, in_F, out_S)
    p = np.float32(1.0 - share) * p_E[0]
    for k in range(state.size_5[FOUND]):
        if state.token_N[state.place_K[k]] == token:
            p += np.float32(share * state.vote_K[k])
    _keep(state, in_F, token, np.float64(p_E[0]))
    return p


def seen(state):
    """See ``Stage``, of the votes."""
    return state.size_5[MET]


class Neighbours:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        positions: PositiveInt,
        neighbours: PositiveInt,
        candidates: PositiveInt,
        beta: PositiveFloat,
        prior_share: Annotated[float, Between(0, 1, open_low=True)],
        prior_weight: PositiveFloat,
    ) -> None:
        """Raises ConfigError for fewer ``candidates`` than ``neighbours``, for a ``prior_share`` of 1."""
        if candidates < neighbours:
            raise ConfigError(f"ngram.candidates: {candidates} are fewer than ngram.neighbours = {neighbours}")
        if prior_share == 1:
            raise ConfigError("ngram.prior_share: 1 leaves nothing to the network; less than 1")
        self.positions, self.neighbours, self.candidates, self.beta = positions, neighbours, candidates, beta
        self.prior_share, self.prior_weight = prior_share, prior_weight

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert."""
        width = facts.width("mlp_in") or 1
        words = 3 * -(-width // (3 * WORD))
        positions = min(self.positions, facts.targets)
        state = NeighbourCache(
            key_ND=np.zeros((positions, width), dtype=np.int8),
            sign_WN=np.zeros((words, positions), dtype=np.int64),
            token_N=np.zeros(positions, dtype=np.int32),
            sum_2D=np.zeros((2, width)),
            tally_B2=np.array([[self.prior_share * self.prior_weight, self.prior_weight]] * (LEVELS + 1)),
            setting_2=np.array([self.beta, width * (MOST / DEVIATIONS) ** 2]),
            size_5=np.array([0, 0, 0, self.candidates, -1], dtype=np.int64),
            query_D=np.zeros(width, dtype=np.int64),
            sign_W=np.zeros(words, dtype=np.int64),
            place_K=np.zeros(self.neighbours, dtype=np.int64),
            product_K=np.zeros(self.neighbours, dtype=np.int64),
            vote_K=np.zeros(self.neighbours),
            even_D=np.zeros(width),
            apart_N=np.zeros(positions, dtype=np.int16),
            sampled_n=np.zeros(width + 1, dtype=np.int32),
        )
        return (Stage("neighbours", predict, learn, state, SIGNALS, needs=("mlp_in",), score=score, seen=seen),)
