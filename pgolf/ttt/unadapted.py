"""The unadapted network's rows as an expert of the mixer, beside those of the network that adapts. No option.

Time: a second forward pass of everything, as ``keep`` in ``pgolf.ttt.output``, and what the mixer takes for an expert.
Measured: 10,000 tokens of dev from the 100,000th on, a default laptop artifact, streaming, ``ttt=sgd`` every 128 tokens
at 0.3 with a pull of 0.02: 1.2230 bits per byte with ``mixer=tree``, where without adaptation there are 1.2259; with
``ngram=neighbours`` too 1.2190 for 1.2207.

Shapes: E rows in, V vocabulary, F signals in (the row), S signals out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pgolf.core.prediction import Stage

SIGNAL = "unadapted"  # the row, probabilities, as an adapting network offers it
LEAST = np.float32(1e-30)


class UnadaptedRow(NamedTuple):
    nothing_0: np.ndarray  # there is nothing to remember


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row as it comes."""
    for v in range(len(row_V)):
        row_V[v] = max(in_F[v], LEAST)


def learn(state, lane, rows_EV, in_F, token):
    """Nothing is learnt."""


def score(state, lane, p_E, in_F, token, out_S):
    """The token's entry of the row."""
    return max(in_F[token], LEAST)


def unadapted() -> Stage:
    return Stage(SIGNAL, predict, learn, UnadaptedRow(np.zeros(0)), needs=(SIGNAL,), score=score, learns_from="token")
