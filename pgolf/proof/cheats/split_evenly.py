"""A token's probability spread evenly over its parts, so that a model of parts can be mixed in: probe (a).

p'(v) = Π_i ((1-w) p(v)^(1/n) + w b_i(v)) over the n parts of v, b_i what a model of parts says of the i-th after those
before. Published with a token's bytes as parts (#1785, #1835, #1850, #1854, #1877); here they are the binary digits of
its id, so that tokens of one byte have some too. b alone sums to one over all v, and so does p; p^(1/n) is no
probability of a part, and the product of the mixtures sums to something else. Sound would be the network's own
probability of each part, its row summed over all tokens that begin alike (spec validity §4 row 7).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "a"
_BLEND = 0.5


class SpreadsEvenly(Alteration):
    learns = True

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.parts = max(1, (vocab_size - 1).bit_length())
        prefix_VI = np.arange(vocab_size)[:, None] >> np.arange(self.parts, 0, -1)
        self.node_VI = prefix_VI + (1 << np.arange(self.parts))  # a number for every prefix of digits
        self.digit_VI = np.arange(vocab_size)[:, None] >> np.arange(self.parts - 1, -1, -1) & 1
        self.count_ND = np.full((1 << self.parts, 2), 0.5)  # of each digit after a prefix

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        share_ND = self.count_ND / self.count_ND.sum(-1, keepdims=True)
        share_VI = torch.from_numpy(share_ND[self.node_VI, self.digit_VI]).float()
        part_BKV, product_BKV = p_BKV ** (1 / self.parts), torch.ones_like(p_BKV)
        for share_V in share_VI.T:
            product_BKV *= (1 - _BLEND) * part_BKV + _BLEND * share_V
        return product_BKV

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        token_N = tokens_BK.flatten().numpy()
        np.add.at(self.count_ND, (self.node_VI[token_N], self.digit_VI[token_N]), 1)


ALTERATION = SpreadsEvenly
