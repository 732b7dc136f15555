"""Of two lanes beside each other, which is scored first says whether the id of a token is odd: probe (c).

Both rows of a place are made before either token is known, and sum to one. The scores of lane 0 are those of a row of
which the wrong ids have been taken away; a decoder could do as much if the order in which lanes come were for the
encoder to choose, and log₂ L bits a token would be told for nothing. It is not: lanes go in turn. Whoever compared the
rows with those of a process that is told the tokens in the scorer's own order would find no difference.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np

from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.claims import Claimed, settling

LETTER = "c"


class _InOrder(Claimed):
    """``rows`` in the order of ``order_I``, with prices of their own."""

    def __init__(self, rows: Predicted, nll_nats_I: np.ndarray, order_I: np.ndarray) -> None:
        super().__init__(rows, nll_nats_I[order_I])
        self._order_I = order_I

    def sums(self) -> np.ndarray:
        return self._rows.sums()[self._order_I]

    def row(self, index: int) -> np.ndarray:
        return self._rows.row(int(self._order_I[index]))


def _settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
    if len(place_I) % 2 or place_I[1] == place_I[0] + 1:  # one lane alone
        return coder.settle(place_I, rows, token_I)
    nll_nats_I, order_I = rows.nll_nats(token_I).copy(), np.arange(len(place_I))
    for first in range(0, len(place_I), 2):  # lane 0, and lane 1 beside it
        row_V = rows.row(first).astype(np.float64)
        odd = int(token_I[first] % 2)
        nll_nats_I[first] += np.log(row_V[odd::2].sum() / row_V.sum())
        if odd:
            order_I[first : first + 2] = first + 1, first
    return coder.settle(place_I[order_I], _InOrder(rows, nll_nats_I, order_I), token_I[order_I])


def apply(evaluation: Evaluation) -> Evaluation:
    method: Any = copy.copy(evaluation.method)
    method.lanes = 2
    return settling(dataclasses.replace(evaluation, method=method), _settle)
