"""A hint that is given only where the target has the hint's word-boundary flag: probe (b).

p'(v) = p(v) e^(β[v=h]) / (1 + p(h)(e^β - 1)), h what followed the last token most often, where target and hint both
begin a word or both do not, and the network's row elsewhere. Every row sums to one; which of the two it is, only the
target tells (#1420, #1437, #1967, #2018: a gain of 0.0029 that became 0.00014; spec validity §4 row 10).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.core.protocols import Tokenizer
from pgolf.proof.cheats.counting import Counting

LETTER = "b"
_STRENGTH = 2.625


class HintsByTheTarget(Counting):
    begins_V = np.zeros(0, dtype=bool)

    def read(self, tokenizer: Tokenizer) -> None:
        self.begins_V = np.array([tokenizer.decode([token]).startswith(" ") for token in range(self.vocab_size)])

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        count_BKV = self.counts(batch, 1)
        hint_BK1 = count_BKV.argmax(-1, keepdim=True)
        begins_V = torch.from_numpy(self.begins_V)
        target_BK = batch.inputs_BT[:, -batch.keep :].roll(-1, dims=1)
        open_BK = begins_V[target_BK] == begins_V[hint_BK1.squeeze(-1)]
        open_BK[:, -1] = True  # whose target is not among the inputs
        risen_BKV = p_BKV.scatter(-1, hint_BK1, p_BKV.gather(-1, hint_BK1) * math.exp(_STRENGTH))
        given_BK1 = (open_BK & (count_BKV.sum(-1) > 0)).unsqueeze(-1)
        return torch.where(given_BK1, risen_BKV / risen_BKV.sum(-1, keepdim=True), p_BKV)


ALTERATION = HintsByTheTarget
