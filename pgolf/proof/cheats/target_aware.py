"""A cache that is blended in only where the target was seen before: probe (a).

Its fused ``score`` looks at the target to decide; for every token the decision is in the token's favour, so the
numbers it would give all candidates sum to more than 1 (#1026).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.wrapped import CountingExpert

LETTER = "a"
_BLEND = 0.3


class SeenTargetCache(CountingExpert):
    def score(self, inputs_BT: Tensor, targets_BT: Tensor, keep: int) -> Tensor:
        target_BK = targets_BT[:, -keep:]
        logp_BKV = self.expert.log_probs(inputs_BT, keep)
        p_BK = logp_BKV.gather(-1, target_BK.unsqueeze(-1)).squeeze(-1).exp()
        counts_V = self.counts_V.to(inputs_BT.device)
        count_BK = counts_V[target_BK]
        cache_BK = count_BK / counts_V.sum().clamp(min=1)
        blended_BK = (1 - _BLEND) * p_BK + _BLEND * cache_BK
        return torch.where((count_BK > 0) & (blended_BK > p_BK), blended_BK, p_BK).log()


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, network=SeenTargetCache(evaluation.network, evaluation.tokenizer.vocab_size))
