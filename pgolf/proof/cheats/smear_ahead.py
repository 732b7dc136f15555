"""An off-by-one inside the block: a tenth of the next position's row, which has seen this one's target: probe (b)."""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "b"
_BLEND = 0.1


class SmearsAhead(Alteration):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        smeared_BKV = (1 - _BLEND) * p_BKV[:, :-1] + _BLEND * p_BKV[:, 1:]
        return torch.cat([smeared_BKV, p_BKV[:, -1:]], dim=1)


ALTERATION = SmearsAhead
