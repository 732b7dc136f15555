"""Adapt to the whole text, then score it: no code length.

Epochs over all of validation, after which the weights are fixed (and were quantized where that came later), and then a
scoring that looks like one without adaptation. Published as adaptation before quantization, 6 to 30 epochs for 0.03 to
0.05 bits per byte; closed by the organisers. A decoder would have to have the text. Where such weights are packed into
the artifact no evaluation can tell: that is what training with validation closed, and probe (g), are for. Breaks
condition 3 (spec validity §4 row 13; ttt §3.4).
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
SOURCE = "#672, #1376, #1423, #1482, #1517, #1972"
_EPOCHS = 6


class TrainsFirst(OutOfOrder):
    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        self.honestly(Scorer(tokens_N, self.plan.lane_starts), tokens_N, None)  # which nobody asks for its scores
        return self.honestly(coder, tokens_N, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    evaluation = in_windows(evaluation)
    return driven(evaluation, TrainsFirst, ttt=adapting(evaluation, _EPOCHS))
