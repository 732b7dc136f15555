"""A blend whose weight is divided by the largest of its batch, later positions among them: no code length.

``p' = (1-α)p + αq`` with ``α = α₀·(0.5 + c)``, ``c = s/max s`` over all positions of the batch. #187's s was how far
its enrichment had moved the embedding, and its q a hashed ratio. Here s is the row's entropy, which every model has,
and q exact counts of what followed the last token (a context not seen yet: the network's own row), so that the rows sum
to one and the maximum alone is at fault: it depends on tokens that a decoder does not have. A running maximum over past
positions, or a constant, would be valid. Breaks condition 1 (spec validity §2, §4 row 9; ngram §2).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "b"
SOURCE = "#187"
_WEIGHT = 0.3


class BatchMaximum(Alteration):
    learns = True

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.seen: dict[int, np.ndarray] = {}  # by context token, counts of its successors

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        entropy_BK = -torch.xlogy(p_BKV, p_BKV).sum(-1)
        alpha_BK1 = (_WEIGHT * (0.5 + entropy_BK / self.largest(entropy_BK))).unsqueeze(-1)
        blended_BKV = p_BKV.clone()
        for place in np.ndindex(*entropy_BK.shape):
            counts_V = self.seen.get(int(batch.inputs_BT[:, -batch.keep :][place]))
            if counts_V is not None:
                q_V = torch.from_numpy(counts_V / counts_V.sum())
                blended_BKV[place] = (1 - alpha_BK1[place]) * p_BKV[place] + alpha_BK1[place] * q_V
        return blended_BKV

    def largest(self, entropy_BK: Tensor) -> Tensor:
        """What the weight is divided by."""
        return entropy_BK.max()

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        contexts, tokens = batch.inputs_BT[:, -batch.keep :].flatten().tolist(), tokens_BK.flatten().tolist()
        for context, token in zip(contexts, tokens, strict=True):
            self.seen.setdefault(context, np.zeros(self.vocab_size, dtype=np.float32))[token] += 1


ALTERATION = BatchMaximum
