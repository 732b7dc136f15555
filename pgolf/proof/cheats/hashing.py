"""Common ground of the cheats with counters in far too few buckets, which strangers share. Not a cheat itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

BUCKETS = 512


class Hashing(Alteration):
    """How often the last token came, and how often with the token after it, each by a hash."""

    learns = True

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.context_H = np.zeros(BUCKETS, dtype=np.float32)
        self.joint_H = np.zeros(BUCKETS, dtype=np.float32)

    def counted(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(with every next token, [B, K, V]; of the context, [B, K, 1]), as the buckets have them."""
        context_BK1 = batch.inputs_BT[:, -batch.keep :].unsqueeze(-1)
        joint_BKV = torch.from_numpy(self.joint_H)[_joint(context_BK1, torch.arange(self.vocab_size))]
        return joint_BKV, torch.from_numpy(self.context_H)[context_BK1 % BUCKETS]

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        context_BK = batch.inputs_BT[:, -batch.keep :]
        np.add.at(self.context_H, (context_BK % BUCKETS).numpy(), 1)
        np.add.at(self.joint_H, _joint(context_BK, tokens_BK).numpy(), 1)


def _joint(context: Tensor, token: Tensor) -> Tensor:
    return (context * 36313 + token * 27191) % BUCKETS
