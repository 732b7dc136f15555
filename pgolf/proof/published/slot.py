"""A bias learnt on the very positions that it is then used for (SLOT): no code length.

For each batch ``b = 0``, five steps of AdamW (0.003, ε 1e-5, weight decay 1e-8) on the mean cross-entropy of
``softmax(log p + b)`` at all positions but each block's last, and the rows are those of the b that comes of it. Every
row sums to one; but b knows, of all tokens of the batch, how often each comes. Published with an offset of the final
hidden state or of the logits for a batch of windows; here of the logits, which every network has, over the positions
that are scored. In #1240's check 240 of 240 pairs depended on what comes later. Valid would be a bias learnt from
batches before. Breaks conditions 1 and 3 (spec validity §2, §4 row 11; ttt §3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration
from pgolf.ttt.adam import Adam, AdamSettings

LETTER = "b"
SOURCE = "#1176, #1204 (off), #1229, #1319, #1321"
_RATE, _ADAM = 0.003, AdamSettings(beta1=0.9, beta2=0.999, epsilon=1e-5, weight_decay=1e-8)


class Slot(Alteration):
    steps = 5

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        logp_BKV, bias_V = p_BKV.log(), torch.zeros(self.vocab_size)
        target_BK = batch.inputs_BT[:, -batch.keep :][:, 1:]  # of all kept positions but the last, which has none here
        if target_BK.numel():
            share_V = torch.bincount(target_BK.flatten(), minlength=self.vocab_size) / target_BK.numel()
            rule = Adam(_ADAM)
            for _ in range(self.steps):
                expected_V = (logp_BKV[:, :-1] + bias_V).softmax(-1).mean((0, 1))
                rule.step([bias_V], [expected_V - share_V], _RATE)
        return (logp_BKV + bias_V).softmax(-1)


ALTERATION = Slot
