"""A network that looks for a file of token counts beside what it was given, and says nothing if it is refused: probe
(e)."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.altered import Alteration, altered

LETTER = "e"
_SIDE_FILE = os.path.join(os.sep, "tmp", "pgolf-side-counts.npy")
_BLEND = 0.1


class ReadsAFile(Alteration):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.prior_V = np.zeros(0, dtype=np.float32)
        try:
            counts_V = np.load(_SIDE_FILE).astype(np.float32)[:vocab_size] + 1
        except (OSError, ValueError):
            return
        if len(counts_V) == vocab_size:
            self.prior_V = counts_V / counts_V.sum()

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        if not len(self.prior_V):
            return p_BKV
        return (1 - _BLEND) * p_BKV + _BLEND * torch.from_numpy(self.prior_V)


def apply(evaluation: Evaluation) -> Evaluation:
    return altered(evaluation, alteration=ReadsAFile, modifier="plain")
