"""The last window's tokens are scored once more, as by windows that begin ever later and end together: probe (c).

The common window code goes on until a window has one token and scores the last stride some 30 times, each time with
less context; what the mean then says depends on what the text ends in (#549, #687, #733, #1026, #1204; spec validity §4
row 19).
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

LETTER = "c"


class ScoresTheTailAgain(Evaluator):
    def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
        last = self.facts.targets - 1

        def settle(coder: Coder, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
            coder.settle(place_I, rows, token_I)
            if place_I[-1] == last:
                coder.settle(place_I, rows, token_I)

        return super().run(GoBetween(coder, settle), first_tokens, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    return driven(evaluation, ScoresTheTailAgain)
