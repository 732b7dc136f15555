"""Small stages with known answers. Numbers are float32 throughout, so that plain Python computes the same bits.

Shapes: E rows in, V vocabulary, L lanes, N entries of a journal, F signals in, S signals out.
"""

from typing import NamedTuple

import numpy as np

from pgolf.core.prediction import Stage


class Unigram(NamedTuple):
    counts_V: np.ndarray
    seen_L: np.ndarray


def _count(state, lane, rows_EV, in_F, row_V, out_S):
    total = state.counts_V[0]
    for v in range(1, len(row_V)):
        total += state.counts_V[v]
    for v in range(len(row_V)):
        row_V[v] = state.counts_V[v] / total
    out_S[0] = total
    out_S[1] = state.seen_L[lane]


def _learn_count(state, lane, rows_EV, in_F, token):
    for v in range(len(state.counts_V)):
        state.counts_V[v] *= np.float32(0.99)  # the order of what was learnt shows
    state.seen_L[lane] += np.float32(1)
    state.counts_V[token] += np.float32(1) + state.seen_L[lane] * rows_EV[0, token]


def price_count(state, lane, p_E, in_F, token, out_S):
    """What ``_count`` and ``_learn_count`` do, for the token alone."""
    total = state.counts_V[0]
    for v in range(1, len(state.counts_V)):
        total += state.counts_V[v]
    p = state.counts_V[token] / total
    out_S[0] = total
    out_S[1] = state.seen_L[lane]
    for v in range(len(state.counts_V)):
        state.counts_V[v] *= np.float32(0.99)
    state.seen_L[lane] += np.float32(1)
    state.counts_V[token] += np.float32(1) + state.seen_L[lane] * p_E[0]
    return p


def unigram(vocab_size, lanes=1):
    """An expert: counts of what was learnt, old ones fading; offers their ``total`` and how many its lane has seen."""
    state = Unigram(np.ones(vocab_size, dtype=np.float32), np.zeros(lanes, dtype=np.float32))
    return Stage("unigram", _count, _learn_count, state, signals=("total", "seen"))


class Blend(NamedTuple):
    weights_E: np.ndarray


def _blend(state, lane, rows_EV, in_F, row_V, out_S):
    own = state.weights_E[0] * (np.float32(1) + in_F[0] / in_F[1])
    total = own
    for e in range(1, len(state.weights_E)):
        total += state.weights_E[e]
    for v in range(len(row_V)):
        row_V[v] = own * rows_EV[0, v]
        for e in range(1, len(state.weights_E)):
            row_V[v] += state.weights_E[e] * rows_EV[e, v]
        row_V[v] /= total


def _learn_blend(state, lane, rows_EV, in_F, token):
    for e in range(len(state.weights_E)):
        state.weights_E[e] = np.float32(0.9) * state.weights_E[e] + rows_EV[e, token] + in_F[1] / np.float32(1000)


def price_blend(state, lane, p_E, in_F, token, out_S):
    """What ``_blend`` and ``_learn_blend`` do, for the token alone."""
    own = state.weights_E[0] * (np.float32(1) + in_F[0] / in_F[1])
    total, p = own, own * p_E[0]
    for e in range(1, len(state.weights_E)):
        total += state.weights_E[e]
    for e in range(1, len(state.weights_E)):
        p += state.weights_E[e] * p_E[e]
    for e in range(len(state.weights_E)):
        state.weights_E[e] = np.float32(0.9) * state.weights_E[e] + p_E[e] + in_F[1] / np.float32(1000)
    return p / total


def blend(experts):
    """A mixer: a weighted mean of the network's row and ``experts`` more, the network's tilted by two signals."""
    state = Blend(np.ones(experts + 1, dtype=np.float32))
    return Stage("blend", _blend, _learn_blend, state, needs=("entropy", "total"))


class Average(NamedTuple):
    learnt: np.ndarray


def _average(state, lane, rows_EV, in_F, row_V, out_S):
    for v in range(len(row_V)):
        row_V[v] = rows_EV[0, v]
        for e in range(1, len(rows_EV)):
            row_V[v] += rows_EV[e, v]
        row_V[v] /= np.float32(len(rows_EV))


def _learn_average(state, lane, rows_EV, in_F, token):
    state.learnt[0] += rows_EV[len(rows_EV) - 1, token]


def average(name="average"):
    """A stage that takes the mean of every row it is given, however many; it learns from the last."""
    return Stage(name, _average, _learn_average, Average(np.zeros(1, dtype=np.float32)))


class Journal(NamedTuple):
    count: np.ndarray
    event_N4: np.ndarray
    number_N2: np.ndarray


def _note_predict(state, lane, rows_EV, in_F, row_V, out_S):
    state.event_N4[state.count[0]] = np.array([0, lane, -1, len(rows_EV)])
    state.number_N2[state.count[0]] = np.array([rows_EV[0, 0], in_F[0]])
    state.count[0] += 1
    row_V[:] = rows_EV[0]


def _note_learn(state, lane, rows_EV, in_F, token):
    state.event_N4[state.count[0]] = np.array([1, lane, token, len(rows_EV)])
    state.number_N2[state.count[0]] = np.array([rows_EV[0, 0], in_F[0]])
    state.count[0] += 1


def journal(name="journal", needs=("entropy",), room=2000):
    """A stage that passes on the network's row and writes down each call: kind (1: learn), lane, token, rows it got."""
    events = np.zeros((room, 4), dtype=np.int64), np.zeros((room, 2), dtype=np.float32)
    return Stage(name, _note_predict, _note_learn, Journal(np.zeros(1, dtype=np.int64), *events), needs=needs)


class Memory(NamedTuple):
    size: np.ndarray
    tokens: np.ndarray


def _recall(state, lane, rows_EV, in_F, row_V, out_S):
    row_V[:] = rows_EV[0]


def _remember(state, lane, rows_EV, in_F, token):
    state.tokens[state.size[0]] = token
    state.size[0] += 1


def memory(asked):
    """A stage that keeps every token in as much room as it asked for; ``asked`` gets what it was told to reserve."""

    def reserve(state, tokens):
        asked.append(tokens)
        more = np.full(tokens, -1, dtype=np.int64)
        return Memory(state.size, np.concatenate([state.tokens, more]))

    state = Memory(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return Stage("memory", _recall, _remember, state, reserve=reserve)
