"""Two small stages that learn at every token: counts of the tokens so far, and the mean of all rows."""

from typing import NamedTuple

import numpy as np

from pgolf.core.prediction import Stage


class CountsOfATest(NamedTuple):
    count_V: np.ndarray  # float64, one more than seen


class NothingOfATest(NamedTuple):
    seen_1: np.ndarray  # int64: how many tokens


def predict_counts(state, lane, rows_EV, in_F, row_V, out_S):
    total = state.count_V.sum()
    for v in range(len(row_V)):
        row_V[v] = state.count_V[v] / total
    out_S[0] = total


def learn_count(state, lane, rows_EV, in_F, token):
    state.count_V[token] += 1.0


def predict_mean(state, lane, rows_EV, in_F, row_V, out_S):
    for v in range(len(row_V)):
        row_V[v] = 0.5 * (rows_EV[0, v] + rows_EV[1, v])


def learn_nothing(state, lane, rows_EV, in_F, token):
    state.seen_1[0] += 1


class counts:
    def stages(self, facts):
        state = CountsOfATest(np.ones(facts.vocab_size))
        return (Stage("counts", predict_counts, learn_count, state, signals=("total",)),)


class mean:
    def stage(self, facts, experts):
        assert experts == 1
        state = NothingOfATest(np.zeros(1, dtype=np.int64))
        return Stage("mean", predict_mean, learn_nothing, state, needs=("total",), traces=("total",))
