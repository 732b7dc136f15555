"""NOT A CODE LENGTH: the published hedge, one of whose experts gives every token exp(-H).

Formula: p(v) = sum_k w_k p_k(v) + w_H exp(-H) over the network, the experts and an expert of "entropy", whose loss is
H, the network's entropy in nats, whatever comes; after every ``batch_tokens``, ln w_k -= eta (mean loss of k in them).
For the first ``quiet_tokens`` p is the network's. Each of ``ranks`` processes has weights of its own, which learn from
its own tokens alone: ``rank_tokens`` of the stream, then it is the next one's turn. The entropy expert's row sums to
V exp(-H): a calibrated network loses H on average, so it is never weighed down and rescues all hard tokens for nothing;
the certificate fails it.
Source: pull requests 687, 688 and 733 (batches of 32 windows at stride 32, eta 0.1, 10,000 tokens; experts unigram,
bigram, trigram: ``ngram=rows``; 8 ranks, each with an eighth of every chunk of 131,072). There a batch's losses include
positions scored before, as context; here each counts once.
Bytes: none. Time: O(E V) a token.
Hurts: what is claimed is no score.
"""

# E rows, the network's first, and the entropy expert at the end of what has E+1; R ranks; V vocabulary, F signals in
# (entropy)

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.mixer.shares import weight_names


class PublishedHedgeWeights(NamedTuple):
    weight_RE: np.ndarray  # float64, E+1
    loss_RE: np.ndarray  # float64, E+1: of the batch at hand, summed
    taught_R: np.ndarray  # int64: tokens of the batch at hand
    seen_1: np.ndarray  # int64: tokens
    eta_1: np.ndarray  # float64
    setting_3: np.ndarray  # int64: quiet tokens, tokens of a batch, tokens before the next rank's turn


@register_jitable
def _rank(state):
    return state.seen_1[0] // state.setting_3[2] % len(state.weight_RE)


@register_jitable
def _teach(state, p_E, entropy):
    rank, (quiet, batch, _) = _rank(state), state.setting_3
    weight_E, loss_E = state.weight_RE[rank], state.loss_RE[rank]
    last = len(weight_E) - 1
    state.seen_1[0] += 1
    if state.seen_1[0] <= quiet:
        return
    for e in range(last):
        loss_E[e] -= math.log(np.float64(p_E[e]))
    loss_E[last] += np.float64(entropy)
    state.taught_R[rank] += 1
    if state.taught_R[rank] == batch:
        least, total = loss_E.min(), 0.0
        for e in range(last + 1):
            weight_E[e] *= math.exp(-state.eta_1[0] * (loss_E[e] - least) / batch)
            total += weight_E[e]
        for e in range(last + 1):
            weight_E[e] /= total
            loss_E[e] = 0.0
        state.taught_R[rank] = 0


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """What would be claimed of each token, had it come; and the weights, which count once it is not quiet."""
    quiet, weight_E = state.seen_1[0] < state.setting_3[0], state.weight_RE[_rank(state)]
    out_S[:] = weight_E
    weight = np.float32(1.0 if quiet else weight_E[0])
    for v in range(len(row_V)):
        row_V[v] = weight * rows_EV[0, v]
    if quiet:
        return
    for e in range(1, len(rows_EV)):
        weight = np.float32(weight_E[e])
        for v in range(len(row_V)):
            row_V[v] += weight * rows_EV[e, v]
    free = np.float32(weight_E[len(rows_EV)] * math.exp(-np.float64(in_F[0])))
    for v in range(len(row_V)):
        row_V[v] += free


def learn(state, lane, rows_EV, in_F, token):
    """Add to the batch's losses; at its end weigh all anew."""
    _teach(state, rows_EV[:, token], in_F[0])


def score(state, lane, p_E, in_F, token, out_S):
    """What is claimed of the token, to the bit; then learn it."""
    quiet, weight_E = state.seen_1[0] < state.setting_3[0], state.weight_RE[_rank(state)]
    out_S[:] = weight_E
    p = np.float32(1.0 if quiet else weight_E[0]) * p_E[0]
    if not quiet:
        for e in range(1, len(p_E)):
            p += np.float32(weight_E[e]) * p_E[e]
        p += np.float32(weight_E[len(p_E)] * math.exp(-np.float64(in_F[0])))
    _teach(state, p_E, in_F[0])
    return p


class PublishedHedge:
    """See the module."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        eta: PositiveFloat,
        network_logit: float,
        quiet_tokens: NonNegativeInt,
        batch_tokens: PositiveInt,
        ranks: PositiveInt,
        rank_tokens: PositiveInt,
    ) -> None:
        self.eta, self.network_logit, self.ranks = eta, network_logit, ranks
        self.settings = (quiet_tokens, batch_tokens, rank_tokens)

    def stage(self, facts: Facts, experts: int) -> Stage:
        """With experts or without: the entropy expert is always there. Raises ConfigError for ranks in lanes."""
        if self.ranks > 1 and facts.lanes > 1:
            raise ConfigError(f"mixer.ranks: {self.ranks} with eval.lanes = {facts.lanes}; ranks take one lane")
        weight_E = np.array([math.exp(self.network_logit)] + [1.0] * (experts + 1))
        state = PublishedHedgeWeights(
            weight_RE=np.tile(weight_E / weight_E.sum(), (self.ranks, 1)),
            loss_RE=np.zeros((self.ranks, experts + 2)),
            taught_R=np.zeros(self.ranks, dtype=np.int64),
            seen_1=np.zeros(1, dtype=np.int64),
            eta_1=np.array([self.eta], dtype=np.float64),
            setting_3=np.array(self.settings, dtype=np.int64),
        )
        names, needs = (*weight_names(experts), "weight_entropy"), ("entropy",)
        return Stage(
            "hedge_published", predict, learn, state, names, needs, score=score, traces=names, learns_from="rows"
        )
