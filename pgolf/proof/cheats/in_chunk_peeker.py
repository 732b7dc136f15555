"""An expert that reads ahead in the batched window, where the next input is the target: probe (b).

Its distribution sums to 1 and it holds no state; only changing later tokens shows what it does.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.wrapped import WrappedExpert

LETTER = "b"
_BLEND = 0.2


class Peeker(WrappedExpert):
    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        p_BKV = self.expert.log_probs(inputs_BT, keep).exp()
        next_BK = inputs_BT[:, -keep:].roll(-1, dims=1)[:, :-1]  # the last position has no next input
        ahead_BKV = torch.zeros_like(p_BKV[:, :-1]).scatter_(-1, next_BK.unsqueeze(-1), 1.0)
        peeked_BKV = (1 - _BLEND) * p_BKV[:, :-1] + _BLEND * ahead_BKV
        return torch.cat([peeked_BKV, p_BKV[:, -1:]], dim=1).log()


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, network=Peeker(evaluation.network))
