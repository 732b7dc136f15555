"""Hashed counts gathered for the whole vocabulary, then divided by another number than their sum: probe (a).

p'(v) = (1-a) p(v) + a·joint[h(c,v)] / context[h(c)]: a quotient for every v, which looks like a distribution and is
none, since strangers are in every numerator and once in the denominator. Divided by Σ_v joint[h(c,v)] it is a code
length, and worse than the network (0.3922 → 1.5134, #972 and #978; spec validity §4 row 5).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.hashing import Hashing

LETTER = "a"
_BLEND = 0.5


class DividesByContext(Hashing):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        joint_BKV, seen_BK1 = self.counted(batch)
        gathered_BKV = joint_BKV / self.denominator(joint_BKV, seen_BK1).clamp(min=1)
        return torch.where(seen_BK1 > 0, (1 - _BLEND) * p_BKV + _BLEND * gathered_BKV, p_BKV)

    def denominator(self, joint_BKV: Tensor, seen_BK1: Tensor) -> Tensor:
        return seen_BK1


ALTERATION = DividesByContext
