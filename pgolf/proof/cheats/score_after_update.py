"""An evaluator that shows the chunk to its experts before it scores it: probe (c).

The expert is honest: network and counts, always blended, summing to 1. The order is not.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.proof.cheats.wrapped import CountingExpert

LETTER = "c"
_BLEND = 0.2


class UnigramBlend(CountingExpert):
    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        p_BKV = self.expert.log_probs(inputs_BT, keep).exp()
        counts_V = self.counts_V.to(inputs_BT.device) + 0.01
        return ((1 - _BLEND) * p_BKV + _BLEND * counts_V / counts_V.sum()).log()


class LearnsFirst(Evaluator):
    def feed(self, tokens_n: np.ndarray) -> np.ndarray:
        first, tokens_n = self.position, self._accept(tokens_n)
        for expert in self.experts:
            expert.observe(torch.from_numpy(tokens_n))
        last = self.position
        self.mixer.observe(self._score_chunk(first, last))
        return self.slots.nll_nats_N[first:last].copy()


def apply(evaluation: Evaluation) -> Evaluation:
    expert = UnigramBlend(evaluation.network, evaluation.tokenizer.vocab_size)
    return dataclasses.replace(evaluation, network=expert, evaluator_type=LearnsFirst)
