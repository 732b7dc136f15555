"""A hashed count cache with far too few buckets, blended in without dividing by the total: probe (a).

p'(v) = (1-a) p(v) + a·min(1, joint[h(c,v)] / context[h(c)]). Strangers share the buckets, so the ratios of all v
together are worth far more than 1, and collisions look like gains (spec validity §3; #187, #727, #779).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "a"
_BUCKETS, _BLEND = 512, 0.5


class HashedCache(Alteration):
    learns = True

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.context_H = np.zeros(_BUCKETS, dtype=np.float32)
        self.joint_H = np.zeros(_BUCKETS, dtype=np.float32)

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        context_BK1 = batch.inputs_BT[:, -batch.keep :].unsqueeze(-1)
        seen_BK1 = torch.from_numpy(self.context_H)[context_BK1 % _BUCKETS]
        joint_BKV = torch.from_numpy(self.joint_H)[_joint(context_BK1, torch.arange(self.vocab_size))]
        ratio_BKV = (joint_BKV / seen_BK1.clamp(min=1)).clamp(max=1)
        return torch.where(seen_BK1 > 0, (1 - _BLEND) * p_BKV + _BLEND * ratio_BKV, p_BKV)

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        context_BK = batch.inputs_BT[:, -batch.keep :]
        np.add.at(self.context_H, (context_BK % _BUCKETS).numpy(), 1)
        np.add.at(self.joint_H, _joint(context_BK, tokens_BK).numpy(), 1)


def _joint(context: Tensor, token: Tensor) -> Tensor:
    return (context * 36313 + token * 27191) % _BUCKETS


ALTERATION = HashedCache
