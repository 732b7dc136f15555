"""A probability of 9e-7 more for every target, below what a coarse tolerance of a row's sum would see: probe (b)."""

from __future__ import annotations

import numpy as np

from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.claims import Claimed, settling

LETTER = "b"
_MORE = 9e-7


def _settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
    p_I = np.exp(-rows.nll_nats(token_I))
    coder.settle(place_I, Claimed(rows, -np.log(p_I + _MORE)), token_I)


def apply(evaluation: Evaluation) -> Evaluation:
    return settling(evaluation, _settle)
