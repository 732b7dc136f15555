"""A hashed count cache with far too few buckets, blended in without dividing by the total: probe (a).

p'(v) = (1-a) p(v) + a·min(1, joint[h(c,v)] / context[h(c)]). Strangers share the buckets, so the ratios of all v
together are worth far more than 1, and collisions look like gains (spec validity §3; #187, #727, #779).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from pgolf.core.protocols import Expert
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.wrapped import WrappedExpert

LETTER = "a"
_BUCKETS, _BLEND = 512, 0.5


class HashedCache(WrappedExpert):
    def __init__(self, expert: Expert) -> None:
        super().__init__(expert)
        self.context_H = torch.zeros(_BUCKETS)
        self.joint_H = torch.zeros(_BUCKETS)

    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        p_BKV = self.expert.log_probs(inputs_BT, keep).exp()
        context_BK = inputs_BT[:, -keep:]
        tokens_V = torch.arange(p_BKV.shape[-1], device=inputs_BT.device)
        seen_BK1 = self.context_H.to(inputs_BT.device)[context_BK % _BUCKETS].unsqueeze(-1)
        joint_BKV = self.joint_H.to(inputs_BT.device)[_joint(context_BK.unsqueeze(-1), tokens_V)]
        ratio_BKV = (joint_BKV / seen_BK1.clamp(min=1)).clamp(max=1)
        return torch.where(seen_BK1 > 0, (1 - _BLEND) * p_BKV + _BLEND * ratio_BKV, p_BKV).clamp(min=1e-30).log()

    def observe(self, tokens_N: Tensor) -> None:
        super().observe(tokens_N)
        context_n = tokens_N[:-1]
        self.context_H = self.context_H + torch.bincount(context_n % _BUCKETS, minlength=_BUCKETS)
        self.joint_H = self.joint_H + torch.bincount(_joint(context_n, tokens_N[1:]), minlength=_BUCKETS)


def _joint(context: Tensor, token: Tensor) -> Tensor:
    return (context * 36313 + token * 27191) % _BUCKETS


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, network=HashedCache(evaluation.network))
