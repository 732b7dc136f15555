"""Secondary estimation: learnt corrections of how likely the most probable tokens of a row are, after any other mixer.

Formula: the R most probable tokens of the row are turns in a chain: is it the first, else the second, … A turn of
probability q (given none before) becomes (1 - ``share``) q + ``share`` A(q), A a table over 33 bins of logit q between
-8 and 8, read by interpolation, one for each rank and bucket of signals; the bin nearest to q then moves by ``rate``
towards what came. The other tokens share what the chain leaves, as before: a row sums to one.
Source: Mahoney 2005 (adaptive probability maps, PAQ8).
Bytes: none. Time: O(V) a token to find the R, in a whole row.
Hurts: on a row that is calibrated already: the bins' noise is all that is added.
"""

# E rows, the last of them corrected; V vocabulary, F signals in, M edges of the signal that has most, C buckets of all
# signals together, R ranks, B bins of a table, S signals out

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, Fraction

BINS, MOST_LOGIT = 33, 8.0
MOST_RANKS = 16
LEAST = 1e-9  # of a turn, so that no row comes to nothing


class SecondaryTables(NamedTuple):
    table_CRB: np.ndarray  # float64: probabilities
    edge_FM: np.ndarray  # float32, each signal's ascending, then infinity
    setting_2: np.ndarray  # float64: share, rate
    top_R: np.ndarray  # int64: the tokens at hand
    turn_R: np.ndarray  # float64: their turns


@register_jitable
def _bucket(edge_FM, in_F):
    bucket = np.int64(0)
    for f in range(len(edge_FM)):
        place = 0
        while place < edge_FM.shape[1] and in_F[f] >= edge_FM[f, place]:
            place += 1
        bucket = bucket * (edge_FM.shape[1] + 1) + place
    return bucket


@register_jitable
def _find_top(row_V, top_R):
    """The most probable first; of equals the lowest id."""
    filled = 0
    for v in range(len(row_V)):
        if filled < len(top_R) or row_V[v] > row_V[top_R[filled - 1]]:
            place = filled if filled < len(top_R) else filled - 1
            while place > 0 and row_V[v] > row_V[top_R[place - 1]]:
                top_R[place] = top_R[place - 1]
                place -= 1
            top_R[place] = v
            filled = min(filled + 1, len(top_R))


@register_jitable
def _place(q):
    """Where in the bins."""
    logit = min(max(math.log(q / (1.0 - q)), -MOST_LOGIT), MOST_LOGIT)
    return (logit + MOST_LOGIT) * ((BINS - 1) / (2.0 * MOST_LOGIT))


@register_jitable
def _chain(state, rows_EV):
    """Finds the tokens and what each turn's probability is, given none before."""
    from_V, top_R, turn_R = rows_EV[len(rows_EV) - 1], state.top_R, state.turn_R
    _find_top(from_V, top_R)
    left = np.float64(0.0)
    for v in range(len(from_V)):
        left += np.float64(from_V[v])
    for r in range(len(top_R)):
        left -= np.float64(from_V[top_R[r]])
    left = max(left, LEAST)
    for r in range(len(top_R) - 1, -1, -1):
        left += np.float64(from_V[top_R[r]])
        turn_R[r] = min(max(np.float64(from_V[top_R[r]]) / left, LEAST), 1.0 - LEAST)


@register_jitable
def _corrected(turn, table_B, share):
    place = _place(turn)
    low = min(int(place), BINS - 2)
    part = place - low
    read = (1.0 - part) * table_B[low] + part * table_B[low + 1]
    return (1.0 - share) * turn + share * min(max(read, LEAST), 1.0 - LEAST)


@register_jitable
def _others(from_V, top_R):
    """What the row gives to all but the most probable, added up as the row is."""
    others = np.float64(0.0)
    for v in range(len(from_V)):
        is_top = False
        for r in range(len(top_R)):
            is_top |= top_R[r] == v
        if not is_top:
            others += np.float64(from_V[v])
    return others


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The corrected row."""
    _chain(state, rows_EV)
    from_V, top_R, turn_R, share = rows_EV[len(rows_EV) - 1], state.top_R, state.turn_R, state.setting_2[0]
    table_RB = state.table_CRB[_bucket(state.edge_FM, in_F)]
    for v in range(len(row_V)):
        row_V[v] = from_V[v]
    left = 1.0
    for r in range(len(top_R)):
        row_V[top_R[r]] = 0.0
        turn_R[r] = _corrected(turn_R[r], table_RB[r], share)
    others = np.float64(0.0)
    for v in range(len(row_V)):
        others += np.float64(row_V[v])
    for r in range(len(top_R)):
        turn, turn_R[r] = turn_R[r], left * turn_R[r]
        left *= 1.0 - turn
    scale = left / others
    for v in range(len(row_V)):
        row_V[v] = scale * np.float64(row_V[v])
    for r in range(len(top_R)):
        row_V[top_R[r]] = turn_R[r]


@register_jitable
def _teach(state, in_F, token):
    table_RB = state.table_CRB[_bucket(state.edge_FM, in_F)]
    for r in range(len(state.top_R)):
        nearest = int(_place(state.turn_R[r]) + 0.5)
        came = 1.0 if state.top_R[r] == token else 0.0
        table_RB[r, nearest] += state.setting_2[1] * (came - table_RB[r, nearest])
        if came == 1.0:
            break


def learn(state, lane, rows_EV, in_F, token):
    """Move the bins of the turns up to the token."""
    _chain(state, rows_EV)
    _teach(state, in_F, token)


def price(state, lane, rows_EV, in_F, token, out_S):
    """The token's entry of the corrected row, to the bit, without the row; then learn it."""
    _chain(state, rows_EV)
    from_V, top_R, turn_R, share = rows_EV[len(rows_EV) - 1], state.top_R, state.turn_R, state.setting_2[0]
    table_RB = state.table_CRB[_bucket(state.edge_FM, in_F)]
    left, p = 1.0, np.float32(-1.0)
    for r in range(len(top_R)):
        turn = _corrected(turn_R[r], table_RB[r], share)
        if top_R[r] == token:
            p = np.float32(left * turn)
            break
        left *= 1.0 - turn
    if p < 0.0:
        p = np.float32(left / _others(from_V, top_R) * np.float64(from_V[token]))
    _teach(state, in_F, token)
    return p


class Sse:
    """See the module. ``of``: the mixer whose rows are corrected; ``edges``: of each signal, ascending."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        of: Mapping[str, Any],
        ranks: Annotated[int, Between(1, MOST_RANKS)],
        edges: Mapping[str, Sequence[float]],
        share: Fraction,
        rate: Fraction,
    ) -> None:
        """Raises ConfigError for edges that do not ascend, and what the mixer before raises."""
        for name, values in edges.items():
            if not values or any(second <= first for first, second in pairwise(values)):
                raise ConfigError(f"mixer.edges.{name}: {list(values)!r} does not ascend")
        self.of, self.ranks, self.edges, self.settings = make(of), ranks, edges, (share, rate)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError for a vocabulary of no more tokens than ranks, and what the mixer before raises."""
        if facts.vocab_size <= self.ranks:
            raise ConfigError(f"mixer.ranks: {self.ranks} of {facts.vocab_size} tokens leaves none; fewer")
        edge_FM = np.full((len(self.edges), max(map(len, self.edges.values()), default=0)), np.inf, dtype=np.float32)
        for row_M, values in zip(edge_FM, self.edges.values(), strict=True):
            row_M[: len(values)] = values
        buckets = (edge_FM.shape[1] + 1) ** len(self.edges)
        begun_B = 1 / (1 + np.exp(-np.linspace(-MOST_LOGIT, MOST_LOGIT, BINS)))
        state = SecondaryTables(
            table_CRB=np.tile(begun_B, (buckets, self.ranks, 1)),
            edge_FM=edge_FM,
            setting_2=np.array(self.settings, dtype=np.float64),
            top_R=np.zeros(self.ranks, dtype=np.int64),
            turn_R=np.zeros(self.ranks),
        )
        before = self.of.stage(facts, experts)
        return Stage(
            "sse", predict, learn, state, needs=tuple(self.edges), price=price, after=before, learns_from="rows"
        )
