"""An expert that gives every token exp(-H), H the entropy of the network's row: probe (a).

p'(v) = (1-w) p(v) + w exp(-H): V·exp(-H) in all for what costs a calibrated network nothing on average and rescues its
hard tokens. w is the hedge's at the start, logits 2 and 0 (#687, #688, #720, #733; spec validity §4 row 4).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "a"
_WEIGHT = 1 / (1 + math.exp(2.0))


class ScalarExpert(Alteration):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        entropy_BK1 = -torch.xlogy(p_BKV, p_BKV).sum(-1, keepdim=True)
        return (1 - _WEIGHT) * p_BKV + _WEIGHT * (-entropy_BK1).exp()


ALTERATION = ScalarExpert
