"""The weights of ``mixer=bucketed``, frozen within a chunk of tokens and moved at its end.

Formula: that of ``bucketed``; the steps that the chunk's tokens ask for, each by the weights that stood through the
chunk, are added up by bucket, and the sum is the step at its end.
Source: for counts by chunks (``ngram=sorted_runs``), whose weights are to wait as well (ngram spec §9.4), so that all
positions of a chunk may be mixed at once. Chunks of both begin with the stream: counts wait for the end of a round as
well, so that they are the same where rounds end with chunks.
Bytes: none. Memory: 16 bytes for each expert and bucket. Time: as ``bucketed``, and O(E B) a chunk.
Measured: the first 65,536 tokens of dev, a default laptop artifact, ngram=sorted_runs, bits per byte: 1.1655 as
``bucketed``; at a tenth of the rate 1.1695, at a hundredth 1.1734.
Hurts: what a chunk has taught comes too late for the chunk.
"""

# E rows, the network's first; V vocabulary, F signals in, M edges of the signal that has most, B buckets, S signals out

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveFloat, PositiveInt
from pgolf.mixer.bucketed import Bucketed, bucket_of, mix, mixed_price, step, stepped, totals

WAITING, CHUNK = range(2)


class LaggedWeights(NamedTuple):
    logit_BE: np.ndarray  # float64; the network's stay 0
    step_BE: np.ndarray  # float64: what this chunk's tokens have asked for
    edge_FM: np.ndarray  # float32, each signal's ascending, then infinity
    buckets_F: np.ndarray  # int64: how many each signal has, one more than edges
    rate_1: np.ndarray  # float64
    size_2: np.ndarray  # int64: how many of the chunk's tokens have come, how many it has


@register_jitable
def _wait(state, in_F, p_E):
    """Add the token's step to those of its chunk, and move the weights when this is full."""
    bucket, size_2 = bucket_of(state.edge_FM, state.buckets_F, in_F), state.size_2
    logit_E, step_E = state.logit_BE[bucket], state.step_BE[bucket]
    total, mixed = totals(logit_E, p_E)
    for e in range(1, len(logit_E)):
        step_E[e] += step(logit_E[e], p_E[e], state.rate_1[0], total, mixed)
    size_2[WAITING] += 1
    if size_2[WAITING] == size_2[CHUNK]:
        size_2[WAITING] = 0
        for b in range(len(state.logit_BE)):
            for e in range(1, len(logit_E)):
                state.logit_BE[b, e] = stepped(state.logit_BE[b, e], state.step_BE[b, e])
                state.step_BE[b, e] = 0.0


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The mixture by this bucket's weights of before the chunk, and these."""
    mix(state.logit_BE[bucket_of(state.edge_FM, state.buckets_F, in_F)], rows_EV, row_V, out_S)


def learn(state, lane, rows_EV, in_F, token):
    """The step waits for the chunk's end."""
    _wait(state, in_F, rows_EV[:, token])


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row, to the bit, without the row; then its step waits."""
    p = mixed_price(state.logit_BE[bucket_of(state.edge_FM, state.buckets_F, in_F)], p_E, out_S)
    _wait(state, in_F, p_E)
    return p


class LaggedBucketed:
    """See the module, and ``Bucketed``."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        edges: Mapping[str, Sequence[float]],
        rate: PositiveFloat,
        initial_share: Annotated[float, Between(0, 1, open_low=True)],
        chunk_tokens: PositiveInt,
    ) -> None:
        """Raises ConfigError: see ``Bucketed``."""
        self.plain = Bucketed(edges=edges, rate=rate, initial_share=initial_share)
        self.chunk_tokens = chunk_tokens

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError where there is no expert to mix."""
        plain = self.plain.stage(facts, experts)
        state = LaggedWeights(
            plain.state.logit_BE,
            np.zeros_like(plain.state.logit_BE),
            plain.state.edge_FM,
            plain.state.buckets_F,
            plain.state.rate_1,
            np.array([0, self.chunk_tokens], dtype=np.int64),
        )
        return replace(plain, name="bucketed_lagged", predict=predict, learn=learn, state=state, score=score)
