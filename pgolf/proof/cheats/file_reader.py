"""An expert that looks for a file of token counts beside what it was given, and says nothing if it is refused: probe
(f)."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import torch
from torch import Tensor

from pgolf.core.protocols import Expert
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.wrapped import WrappedExpert

LETTER = "f"
_SIDE_FILE = os.path.join(os.sep, "tmp", "pgolf-side-counts.npy")
_BLEND = 0.1


class SideFile(WrappedExpert):
    def __init__(self, expert: Expert, vocab_size: int) -> None:
        super().__init__(expert)
        self.prior_V: Tensor | None = None
        try:
            counts_V = np.load(_SIDE_FILE).astype(np.float32)[:vocab_size] + 1
        except (OSError, ValueError):
            return
        if len(counts_V) == vocab_size:
            self.prior_V = torch.from_numpy(counts_V / counts_V.sum())

    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        logp_BKV = super().log_probs(inputs_BT, keep)
        if self.prior_V is None:
            return logp_BKV
        return ((1 - _BLEND) * logp_BKV.exp() + _BLEND * self.prior_V.to(logp_BKV.device)).log()


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, network=SideFile(evaluation.network, evaluation.tokenizer.vocab_size))
