"""Score everything, learn all of it, and score it once more: no code length.

What the second pass says takes the place of the first: it has the weights after the last chunk, and the counts of the
whole text where an expert has any. Published with tables (0.2950 → 0.1434, #846) and with tables and weights (#860).
To decode the first token one would need weights made of the last; no repair exists. Breaks conditions 1 and 4 (spec
validity §2, §4 rows 15 and 16; ngram §5).
"""

from __future__ import annotations

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.scorer import Scorer
from pgolf.proof.published.adapting import adapting
from pgolf.proof.published.driver import OutOfOrder, driven, in_windows

LETTER = "b"
SOURCE = "#846, #853, #860, #869, #870, #881, #991"
_EPOCHS = 3


class ScoresTwice(OutOfOrder):
    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        self.honestly(Scorer(tokens_N, self.plan.lane_starts), tokens_N, None)
        return self.honestly(coder, tokens_N, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    evaluation = in_windows(evaluation)
    return driven(evaluation, ScoresTwice, ttt=adapting(evaluation, _EPOCHS))
