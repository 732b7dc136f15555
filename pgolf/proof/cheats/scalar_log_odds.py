"""The log-odds of two numbers mixed, the network's probability of the target and a cache's: probe (a).

p'(v) = σ((1-a) logit p(v) + a logit q(v)), q the hashed ratio: what would be sound for an event that happens or does
not is done to each token by itself, and nothing makes the results of all v sum to one (#187 history; 0.00000035 bits
per byte in #959; spec validity §4 row 6).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.hashing import Hashing

LETTER = "a"
_BLEND, _NEAREST = 0.5, 1e-6  # of a probability to 0 and 1


class MixesLogOdds(Hashing):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        joint_BKV, seen_BK1 = self.counted(batch)
        ratio_BKV = joint_BKV / seen_BK1.clamp(min=1)
        mixed_BKV = (1 - _BLEND) * p_BKV.logit(_NEAREST) + _BLEND * ratio_BKV.logit(_NEAREST)
        return torch.where(seen_BK1 > 0, mixed_BKV.sigmoid(), p_BKV)


ALTERATION = MixesLogOdds
