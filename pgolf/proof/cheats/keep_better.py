"""Counts that step back until one has seen the target, mixed in only where that lowers its loss: probe (a).

p'(v) = max(p(v), (1-a) p(v) + a c_k(v)/C_k), k the longest context that has seen v. A token's row is written for the
case that it comes, and so is every other one's: none of them pays for what the others gain (#659, ruled out by the
organisers; spec validity §4 row 2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.counting import ORDERS, Counting

LETTER = "a"
_BLEND = 0.15


class KeepsTheBetter(Counting):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        tried_BKV = p_BKV
        for order in ORDERS:
            count_BKV = self.counts(batch, order)
            share_BKV = count_BKV / count_BKV.sum(-1, keepdim=True).clamp(min=1)
            tried_BKV = torch.where(count_BKV > 0, (1 - _BLEND) * p_BKV + _BLEND * share_BKV, tried_BKV)
        return torch.maximum(p_BKV, tried_BKV)


ALTERATION = KeepsTheBetter
