"""Only the first eighth of the text is scored, as by one of eight processes whose sums are never added: probe (d).

#1026 reports 7,754,688 of 62,021,632 tokens so; #1785, #1835 and #1854 other parts (spec validity §4 row 18).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.proof.cheats.claims import GoBetween
from pgolf.proof.published.driver import driven

LETTER = "d"
_PARTS = 8


class ScoresItsPart(Evaluator):
    def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
        end = self.facts.targets / _PARTS

        def settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
            if place_I[0] < end:
                coder.settle(place_I, rows, token_I)

        return super().run(GoBetween(coder, settle), first_tokens, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    return driven(evaluation, ScoresItsPart)
