"""Exact counts, mixed in only where the target was seen, and the more the worse the network did on it: probe (a).

p'(v) = (1-α_v) p(v) + α_v c(v)/C for v among the successors of the longest context seen, p'(v) = p(v) for all others,
α_v = 0.5 · clamp(-ln p(v) / 2.5, 0.1, 2): the counts are real, and unseen tokens keep in full what the seen ones were
given (#1026; spec validity §4 row 3).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.counting import ORDERS, Counting

LETTER = "a"
_BLEND, _NATS, _LOW, _HIGH = 0.5, 2.5, 0.1, 2.0


class BlendsTheSeen(Counting):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        count_BKV = torch.zeros_like(p_BKV)
        for order in ORDERS:
            longer_BKV = self.counts(batch, order)
            count_BKV = torch.where(longer_BKV.sum(-1, keepdim=True) > 0, longer_BKV, count_BKV)
        share_BKV = count_BKV / count_BKV.sum(-1, keepdim=True).clamp(min=1)
        alpha_BKV = _BLEND * (-p_BKV.clamp(min=1e-30).log() / _NATS).clamp(_LOW, _HIGH)
        return torch.where(count_BKV > 0, (1 - alpha_BKV) * p_BKV + alpha_BKV * share_BKV, p_BKV)


ALTERATION = BlendsTheSeen
