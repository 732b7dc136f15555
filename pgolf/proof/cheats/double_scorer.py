"""Every token priced at two temperatures, and the better price kept: probe (b).

Each alone would be honest; choosing afterwards needs the target.
"""

from __future__ import annotations

import numpy as np

from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.claims import Claimed, settling

LETTER = "b"
_TEMPERATURE = 0.5


def _settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
    sharp_IV = np.stack([rows.row(index) for index in range(len(token_I))]).astype(np.float64) ** (1 / _TEMPERATURE)
    sharp_I = -np.log(sharp_IV[np.arange(len(token_I)), token_I] / sharp_IV.sum(-1))
    coder.settle(place_I, Claimed(rows, np.minimum(rows.nll_nats(token_I), sharp_I)), token_I)


def apply(evaluation: Evaluation) -> Evaluation:
    return settling(evaluation, _settle)
