"""Common ground of the cheats with exact counts of what followed the last token and the last two. Not a cheat itself.

Shapes: B blocks, T inputs, K kept positions, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

ORDERS = (1, 2)  # tokens of a context


class Counting(Alteration):
    learns = True

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.seen: dict[tuple[int, ...], np.ndarray] = {}

    def counts(self, batch: Batch, order: int) -> Tensor:
        """Of every token after a kept position's last ``order`` tokens, in the blocks before: [B, K, V]."""
        count_BKV = torch.zeros(len(batch.blocks), batch.keep, self.vocab_size)
        for place, context in _contexts(batch, order):
            if context in self.seen:
                count_BKV[place] = torch.from_numpy(self.seen[context])
        return count_BKV

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        for order in ORDERS:
            for place, context in _contexts(batch, order):
                if context not in self.seen:
                    self.seen[context] = np.zeros(self.vocab_size, dtype=np.float32)
                self.seen[context][int(tokens_BK[place])] += 1


def _contexts(batch: Batch, order: int) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    """((block, position), its last ``order`` inputs), of the kept positions that have so many."""
    before = batch.inputs_BT.shape[1] - batch.keep
    return [
        ((b, k), tuple(inputs[before + k + 1 - order : before + k + 1]))
        for b, inputs in enumerate(batch.inputs_BT.tolist())
        for k in range(max(0, order - 1 - before), batch.keep)
    ]
