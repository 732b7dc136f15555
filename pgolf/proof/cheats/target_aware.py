"""A cache that is blended in only where it helps the target: probe (b).

The decision looks at the target, so no row has these scores: what is claimed is not what is handed over (#1026).
"""

from __future__ import annotations

import numpy as np

from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.claims import Claimed, settling

LETTER = "b"
_BLEND = 0.3


def apply(evaluation: Evaluation) -> Evaluation:
    counts_V = np.zeros(evaluation.tokenizer.vocab_size)

    def settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        p_I = np.exp(-rows.nll_nats(token_I))
        blended_I = (1 - _BLEND) * p_I + _BLEND * counts_V[token_I] / max(1.0, counts_V.sum())
        coder.settle(place_I, Claimed(rows, -np.log(np.maximum(p_I, blended_I))), token_I)
        np.add.at(counts_V, token_I, 1)

    return settling(evaluation, settle)
