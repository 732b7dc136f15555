"""A network that reads ahead in its block, where the next input is the target: probe (b).

Its rows sum to 1 and it holds no state; only who cannot see ahead shows what it does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "b"
_BLEND = 0.2


class ReadsAhead(Alteration):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        next_BK = batch.inputs_BT[:, -batch.keep :].roll(-1, dims=1)[:, :-1]  # the last position has no next input
        ahead_BKV = torch.zeros_like(p_BKV[:, :-1]).scatter_(-1, next_BK.unsqueeze(-1), 1.0)
        peeked_BKV = (1 - _BLEND) * p_BKV[:, :-1] + _BLEND * ahead_BKV
        return torch.cat([peeked_BKV, p_BKV[:, -1:]], dim=1)


ALTERATION = ReadsAhead
