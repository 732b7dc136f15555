"""Documents adapt or not by their whole length, which a decoder would have to be told: probe (b).

The row is mixed with the counts of the document so far, but not where the document ends within the block: a short rest
is not worth adapting to. Counts and mixture are causal and the rows sum to one; the gate is not, and nobody pays for
the lengths it reads (#687 history, #1610, #1626, where whole documents are meant, and their order; those rows were
accepted nevertheless; spec validity §4 row 23). Valid: a gate on the tokens seen so far.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.core.protocols import Tokenizer
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.altered import Alteration, altered

LETTER = "b"
_BLEND = 0.2


class AdaptsByLength(Alteration):
    bos_id = 0

    def read(self, tokenizer: Tokenizer) -> None:
        self.bos_id = tokenizer.bos_id

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        begins_BT = batch.inputs_BT == self.bos_id
        share_BKV = _so_far(batch.inputs_BT, begins_BT, self.vocab_size)[:, -batch.keep :]
        to_come_BK = begins_BT.flip(1).cumsum(1).flip(1)[:, -batch.keep :] - begins_BT[:, -batch.keep :].long()
        goes_on_BK1 = self.gate(to_come_BK == 0).unsqueeze(-1)
        return torch.where(goes_on_BK1, (1 - _BLEND) * p_BKV + _BLEND * share_BKV, p_BKV)

    def gate(self, goes_on_BK: Tensor) -> Tensor:
        return goes_on_BK


def _so_far(input_BT: Tensor, begins_BT: Tensor, vocab_size: int) -> Tensor:
    """What share of its document's inputs, BOS included, each token has had up to each input: [B, T, V]."""
    count_BTV = F.one_hot(input_BT, vocab_size).float().cumsum(1)
    place_T = torch.arange(input_BT.shape[1])
    begun_BT = torch.where(begins_BT, place_T, 0).cummax(1).values
    before_BTV = count_BTV.gather(1, begun_BT.unsqueeze(-1).expand_as(count_BTV))
    first_BTV = F.one_hot(input_BT.gather(1, begun_BT), vocab_size)
    share_BTV = count_BTV - before_BTV + first_BTV
    return share_BTV / share_BTV.sum(-1, keepdim=True)


def apply(evaluation: Evaluation) -> Evaluation:
    return altered(evaluation, alteration=AdaptsByLength, modifier="plain")
