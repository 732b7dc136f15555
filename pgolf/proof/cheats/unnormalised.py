"""A hashed count cache with far too few buckets, blended in without dividing by the total: probe (a).

p'(v) = (1-a) p(v) + a·min(1, joint[h(c,v)] / context[h(c)]). Strangers share the buckets, so the ratios of all v
together are worth far more than 1, and collisions look like gains (spec validity §3; #187, #727, #779).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.hashing import Hashing

LETTER = "a"
_BLEND = 0.5


class HashedCache(Hashing):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        joint_BKV, seen_BK1 = self.counted(batch)
        ratio_BKV = (joint_BKV / seen_BK1.clamp(min=1)).clamp(max=1)
        return torch.where(seen_BK1 > 0, (1 - _BLEND) * p_BKV + _BLEND * ratio_BKV, p_BKV)


ALTERATION = HashedCache
