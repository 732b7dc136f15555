"""What came next where the longest repeated context was last seen, trusted as far as such matches have been right.

Formula: p'(v) = (1 - λ_l) p(v) + λ_l [v = s], p the network's row; s is the token that followed an earlier place whose
last l tokens are the last l here, l from ``min_length`` on and counted up to ``max_length``; without one p' = p. Where
the token x comes, λ_l becomes the mean of [x = s] λ_l / p'(x) over all times that l was used; ``prior_share`` counts
for ``prior_weight`` times. Rows sum to one.
The place: while it is right it goes on with the text; the latest one with the same last ``min_length`` tokens takes its
part where the match is as long. A table of 2^``slot_bits`` slots finds it, in which a newer place may take another's
slot; each is compared token by token, so that no match is a collision.
Source: the match model of PAQ (Mahoney 2005, lpaq); λ as Jelinek and Mercer 1980.
Bytes: none. Memory: 12 B a token and 4 B a slot. Time: O(V) and ``max_length`` comparisons.
Hurts: what is repeated with changes; one place is all that it knows.
"""

# V vocabulary, L lanes, H slots, T tokens learnt, B lengths; in a kernel's arguments E rows, F signals in, S out

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveFloat

GROWTH = 1.5  # of the past, when it is full

TOKEN, BEFORE, AFTER = range(3)  # of a token learnt: positions of its lane's last and next, -1: none (yet)
PLACE, LENGTH = range(2)  # of a lane's match; PLACE -1: none
HAD, USED = range(2)
SHORTEST, LONGEST, LEARNT, MET = range(4)  # MET: see ``seen``


class MatchModel(NamedTuple):
    past_T3: np.ndarray  # int32
    slot_H: np.ndarray  # int32: the last position whose tokens fall there, + 1
    end_L: np.ndarray  # int64: position of the lane's last token, -1: none
    match_L2: np.ndarray  # int64
    tally_B2: np.ndarray  # float64: how often the match HAD the token, of how often it was USED
    size_4: np.ndarray  # int64


@register_jitable
def _expected(past_T3, match_L2, lane):
    """The token that came next there, -1: none."""
    place = match_L2[lane, PLACE]
    if place < 0 or past_T3[place, AFTER] < 0:
        return np.int64(-1)
    return np.int64(past_T3[past_T3[place, AFTER], TOKEN])


@register_jitable
def _length(past_T3, first, second, most):
    """How many tokens up to both positions are the same."""
    length = 0
    while length < most and first >= 0 and second >= 0 and past_T3[first, TOKEN] == past_T3[second, TOKEN]:
        length += 1
        first, second = np.int64(past_T3[first, BEFORE]), np.int64(past_T3[second, BEFORE])
    return length


@register_jitable
def _slot(past_T3, position, length, slots):
    """Where the last ``length`` tokens up to ``position`` fall, -1: there are not so many."""
    mixed = np.int64(0)
    for _ in range(length):
        if position < 0:
            return np.int64(-1)
        mixed = ((mixed ^ np.int64(past_T3[position, TOKEN])) * 0x2C1B3C6D + 0x3C6EF35F) & 0xFFFFFFFF
        mixed ^= mixed >> 15
        position = np.int64(past_T3[position, BEFORE])
    return (mixed * slots) >> 32


@register_jitable
def _go_on(state, lane, token, own):
    """Note whether the match was right, and find the next; ``own``: what the network gave the token."""
    past_T3, match_L2, size_4 = state.past_T3, state.match_L2, state.size_4
    expected, length = _expected(past_T3, match_L2, lane), match_L2[lane, LENGTH]
    size_4[MET] = -1 if expected < 0 else int(expected == token)
    if expected >= 0:
        if expected == token:
            share = state.tally_B2[length, HAD] / state.tally_B2[length, USED]
            state.tally_B2[length, HAD] += share / (share + (1.0 - share) * own)
        state.tally_B2[length, USED] += 1.0
    position, last = size_4[LEARNT], state.end_L[lane]
    size_4[LEARNT] = position + 1
    past_T3[position, TOKEN], past_T3[position, BEFORE], past_T3[position, AFTER] = token, last, -1
    if last >= 0:
        past_T3[last, AFTER] = position
    state.end_L[lane] = position
    if expected == token:
        match_L2[lane, PLACE] = past_T3[match_L2[lane, PLACE], AFTER]
        match_L2[lane, LENGTH] = min(length + 1, size_4[LONGEST])
    else:
        match_L2[lane, PLACE], match_L2[lane, LENGTH] = -1, 0
    slot = _slot(past_T3, position, size_4[SHORTEST], len(state.slot_H))
    if slot >= 0:
        place = np.int64(state.slot_H[slot]) - 1
        state.slot_H[slot] = position + 1
        found = _length(past_T3, place, position, size_4[LONGEST])
        if found >= max(size_4[SHORTEST], match_L2[lane, LENGTH]):
            match_L2[lane, PLACE], match_L2[lane, LENGTH] = place, found


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row; and ``order``, the match's length and one; ``total`` and ``distinct`` are 1. Without one 1, 0, 0."""
    expected = _expected(state.past_T3, state.match_L2, lane)
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    if expected < 0:
        row_V[:] = rows_EV[0]
    else:
        length = state.match_L2[lane, LENGTH]
        share = state.tally_B2[length, HAD] / state.tally_B2[length, USED]
        left = np.float32(1.0 - share)
        for v in range(len(row_V)):
            row_V[v] = left * rows_EV[0, v]
        row_V[expected] += np.float32(share)
        out_S[0], out_S[1], out_S[2] = length + 1, 1, 1


def learn(state, lane, rows_EV, in_F, token):
    """Note whether the match was right, and find the next."""
    _go_on(state, lane, token, np.float64(rows_EV[0, token]))


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then learn it."""
    expected = _expected(state.past_T3, state.match_L2, lane)
    out_S[0], out_S[1], out_S[2] = 1, 0, 0
    p = p_E[0]
    if expected >= 0:
        length = state.match_L2[lane, LENGTH]
        share = state.tally_B2[length, HAD] / state.tally_B2[length, USED]
        p = np.float32(1.0 - share) * p_E[0]
        if expected == token:
            p += np.float32(share)
        out_S[0], out_S[1], out_S[2] = length + 1, 1, 1
    _go_on(state, lane, token, np.float64(p_E[0]))
    return p


def seen(state):
    """See ``Stage``, of the match."""
    return state.size_4[MET]


def reserve(state: MatchModel, tokens: int) -> MatchModel:
    """Room for so many more tokens."""
    needed, held = int(state.size_4[LEARNT]) + tokens, len(state.past_T3)
    if needed <= held:
        return state
    past_T3 = np.full((max(needed, int(GROWTH * held)), 3), -1, dtype=np.int32)
    past_T3[:held] = state.past_T3
    return state._replace(past_T3=past_T3)


class Match:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        min_length: Annotated[int, Between(1, 64)],
        max_length: Annotated[int, Between(1, 1024)],
        slot_bits: Annotated[int, Between(1, 28)],
        prior_share: Annotated[float, Between(0, 1, open_low=True)],
        prior_weight: PositiveFloat,
    ) -> None:
        """Raises ConfigError where ``min_length`` is above ``max_length``, for a ``prior_share`` of 1."""
        if min_length > max_length:
            raise ConfigError(f"ngram.min_length: {min_length} is above ngram.max_length = {max_length}")
        if prior_share == 1:
            raise ConfigError("ngram.prior_share: 1 leaves nothing to the network; less than 1")
        self.min_length, self.max_length, self.slot_bits = min_length, max_length, slot_bits
        self.prior_share, self.prior_weight = prior_share, prior_weight

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """One expert."""
        match_L2 = np.zeros((facts.lanes, 2), dtype=np.int64)
        match_L2[:, PLACE] = -1
        state = MatchModel(
            past_T3=np.zeros((0, 3), dtype=np.int32),
            slot_H=np.zeros(1 << self.slot_bits, dtype=np.int32),
            end_L=np.full(facts.lanes, -1, dtype=np.int64),
            match_L2=match_L2,
            tally_B2=np.array([[self.prior_share * self.prior_weight, self.prior_weight]] * (self.max_length + 1)),
            size_4=np.array([self.min_length, self.max_length, 0, -1], dtype=np.int64),
        )
        signals = ("order", "total", "distinct")
        return (
            Stage("match", predict, learn, state, signals, score=score, reserve=reserve, learns_from="rows", seen=seen),
        )
