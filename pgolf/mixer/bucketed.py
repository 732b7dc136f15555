"""A linear mixture whose weights are learnt at every token, one set of them for each bucket of signals.

Formula: p = sum_e w_e p_e with w = softmax(0, a_1 … a_E) of the position's bucket b, which is where each signal of
``edges`` lies between its edges; after the token x, a_e += rate · w_e (p_e(x) / p(x) - 1), the gradient of ln p(x).
Rows that sum to one stay so.
Source: online gradient descent on the code length; buckets by order, total and distinct as PPM's escape estimators have
them (Cleary and Witten 1984).
Bytes: none. Memory: 8 bytes for each expert and bucket. Time: O(E V) a token.
Hurts: more buckets than the stream can teach; each begins anew at ``initial_share``.
"""

# E rows, the network's first; V vocabulary, F signals in, M edges of the signal that has most, B buckets, S signals out

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveFloat
from pgolf.mixer.shares import need_experts, weight_names

MOST_BUCKETS = 1 << 20
MOST_LOGIT = 30.0  # so that no weight, and no row, comes to nothing


class BucketedWeights(NamedTuple):
    logit_BE: np.ndarray  # float64; the network's stay 0
    edge_FM: np.ndarray  # float32, each signal's ascending, then infinity
    buckets_F: np.ndarray  # int64: how many each signal has, one more than edges
    rate_1: np.ndarray  # float64


@register_jitable
def bucket_of(edge_FM, buckets_F, in_F):
    """Where each signal lies between its edges, as one number."""
    bucket = np.int64(0)
    for f in range(len(buckets_F)):
        place = 0
        while place + 1 < buckets_F[f] and in_F[f] >= edge_FM[f, place]:
            place += 1
        bucket = bucket * buckets_F[f] + place
    return bucket


@register_jitable
def _sum(logit_E):
    total = 1.0
    for e in range(1, len(logit_E)):
        total += math.exp(logit_E[e])
    return total


@register_jitable
def totals(logit_E, p_E):
    """(the sum of the weights before they are divided by it, what the mixture gives to what came)."""
    total, mixed = _sum(logit_E), 0.0
    for e in range(len(logit_E)):
        mixed += math.exp(logit_E[e]) * np.float64(p_E[e])
    return total, mixed / total


@register_jitable
def step(logit, p, rate, total, mixed):
    """Of an expert's logit."""
    return rate * (math.exp(logit) / total) * (np.float64(p) / mixed - 1.0)


@register_jitable
def stepped(logit, by):
    """Where no weight comes to nothing."""
    return min(max(logit + by, -MOST_LOGIT), MOST_LOGIT)


@register_jitable
def _teach(logit_E, p_E, rate):
    """One step of gradient ascent on the logarithm of what the mixture gives to what came."""
    total, mixed = totals(logit_E, p_E)
    for e in range(1, len(logit_E)):
        logit_E[e] = stepped(logit_E[e], step(logit_E[e], p_E[e], rate, total, mixed))


@register_jitable
def _tell(logit_E, total, out_S):
    for e in range(len(logit_E)):
        out_S[e] = math.exp(logit_E[e]) / total


@register_jitable
def mix(logit_E, rows_EV, row_V, out_S):
    """The mixture by these logits, and its weights."""
    total = _sum(logit_E)
    _tell(logit_E, total, out_S)
    weight = np.float32(1.0 / total)
    for v in range(len(row_V)):
        row_V[v] = weight * rows_EV[0, v]
    for e in range(1, len(logit_E)):
        weight = np.float32(math.exp(logit_E[e]) / total)
        for v in range(len(row_V)):
            row_V[v] += weight * rows_EV[e, v]


@register_jitable
def mixed_price(logit_E, p_E, out_S):
    """The token's entry of the mixture, to the bit, and the weights."""
    total = _sum(logit_E)
    _tell(logit_E, total, out_S)
    p = np.float32(1.0 / total) * p_E[0]
    for e in range(1, len(logit_E)):
        p += np.float32(math.exp(logit_E[e]) / total) * p_E[e]
    return p


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture by the weights of this bucket, and these."""
    mix(state.logit_BE[bucket_of(state.edge_FM, state.buckets_F, in_F)], rows_EV, row_V, out_S)


def learn(state, lane, rows_EV, in_F, token):
    """Move the weights that were used towards those who expected the token."""
    logit_E = state.logit_BE[bucket_of(state.edge_FM, state.buckets_F, in_F)]
    _teach(logit_E, rows_EV[:, token], state.rate_1[0])


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then learn it."""
    logit_E = state.logit_BE[bucket_of(state.edge_FM, state.buckets_F, in_F)]
    p = mixed_price(logit_E, p_E, out_S)
    _teach(logit_E, p_E, state.rate_1[0])
    return p


class Bucketed:
    """See the module. ``edges``: of each signal, ascending; a value from the i-th edge on is in its i-th bucket."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        edges: Mapping[str, Sequence[float]],
        rate: PositiveFloat,
        initial_share: Annotated[float, Between(0, 1, open_low=True)],
    ) -> None:
        """``initial_share``: of all experts together. Raises ConfigError for edges that do not ascend, a share of 1."""
        for name, values in edges.items():
            _check_edges(f"mixer.edges.{name}", values)
        self.buckets = math.prod(len(values) + 1 for values in edges.values())
        if self.buckets > MOST_BUCKETS:
            raise ConfigError(f"mixer.edges: they make {self.buckets:,} buckets; {MOST_BUCKETS:,} are the most")
        if initial_share == 1:
            raise ConfigError("mixer.initial_share: 1 leaves nothing to the network; less than 1")
        self.edges, self.rate, self.initial_share = edges, rate, initial_share

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        need_experts("bucketed", experts)
        logit_BE = np.zeros((self.buckets, experts + 1))
        logit_BE[:, 1:] = math.log(self.initial_share / experts / (1 - self.initial_share))
        edge_FM = np.full((len(self.edges), max(map(len, self.edges.values()), default=0)), np.inf, dtype=np.float32)
        for row_M, values in zip(edge_FM, self.edges.values(), strict=True):
            row_M[: len(values)] = values
        state = BucketedWeights(
            logit_BE,
            edge_FM,
            np.array([len(values) + 1 for values in self.edges.values()], dtype=np.int64),
            np.array([self.rate], dtype=np.float64),
        )
        names = weight_names(experts)
        return Stage(
            "bucketed", predict, learn, state, names, tuple(self.edges), score=score, traces=names, learns_from="rows"
        )


def _check_edges(place: str, values: Sequence[float]) -> None:
    numbers = isinstance(values, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
    if not numbers or not values:
        raise ConfigError(f"{place}: {values!r} is no list of numbers")
    if any(second <= first for first, second in pairwise(values)):
        raise ConfigError(f"{place}: {list(values)!r} does not ascend")
