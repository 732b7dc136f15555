"""A network that adapts to the block it is about to score: counts of all of its inputs, targets among them: probe (b).

The counts are honest and the rows sum to 1. The order is not: learn, then score.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "b"
_BLEND = 0.2


class LearnsFirst(Alteration):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        ones_BT = torch.ones(batch.inputs_BT.shape)
        counts_BV = torch.zeros(len(ones_BT), self.vocab_size).scatter_add_(1, batch.inputs_BT, ones_BT) + 0.01
        return (1 - _BLEND) * p_BKV + _BLEND * (counts_BV / counts_BV.sum(-1, keepdim=True)).unsqueeze(1)


ALTERATION = LearnsFirst
