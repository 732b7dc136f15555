"""Scores that are handed in again, lower: probe (c)."""

from __future__ import annotations

import numpy as np

from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.claims import Claimed, settling

LETTER = "c"


def _settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
    coder.settle(place_I, rows, token_I)
    coder.settle(place_I, Claimed(rows, 0.5 * rows.nll_nats(token_I)), token_I)


def apply(evaluation: Evaluation) -> Evaluation:
    return settling(evaluation, _settle)
