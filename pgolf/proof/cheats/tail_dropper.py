"""The last positions are never scored, as by windows that leave out what they would have to clip: probe (d)."""

from __future__ import annotations

import numpy as np

from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.claims import settling

LETTER = "d"


def apply(evaluation: Evaluation) -> Evaluation:
    window = evaluation.method.window

    def settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        if len(token_I) in (evaluation.method.stride, window):  # a clipped block is the stream's last
            coder.settle(place_I, rows, token_I)

    return settling(evaluation, settle)
