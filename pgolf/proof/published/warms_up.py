"""Warm-up steps on the text, before it is scored: no code length where anything of them stays.

Kernels are compiled by a forward pass, a backward pass and a step before the clock starts, and the tokens at hand are
those of validation. Published with the state thrown away afterwards (#1530; random tokens since #1626), and then the
score is the one without: bad manners, and none of a certificate's business. Here the weights are kept, as by a reset
that forgets something. Breaks condition 3 (spec validity §4 row 17; ttt §3.3).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from pgolf.core.prediction import Batch, Span
from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.published.adapting import adapting
from pgolf.proof.published.driver import OutOfOrder, driven, in_windows

LETTER = "b"
SOURCE = "#1530 (thrown away)"
_EPOCHS = 3


class WarmsUp(OutOfOrder):
    thrown_away: ClassVar[bool] = False

    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        network = self.network.fork() if self.thrown_away else self.network
        assert network.cadence is not None
        count = min(network.cadence, self.facts.targets)
        token_T = torch.from_numpy(tokens_N[: count + 1].astype(np.int64)).unsqueeze(0)
        network.observe(Batch((Span(0, 0, 0, count),), token_T[:, :-1], count), token_T[:, 1:])
        return self.honestly(coder, tokens_N, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    evaluation = in_windows(evaluation)
    return driven(evaluation, WarmsUp, ttt=adapting(evaluation, _EPOCHS))
