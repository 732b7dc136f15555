"""Calibrate on tokens drawn at random, each as likely as any other: no text at all.

``H = Σ x xᵀ`` over ``sequences`` sequences of ``tokens`` uniform ids, from a fixed seed.
Source: the control in #756: 1.11650 bits per byte, against 1.11477 on self-generated text with the same weights.
Cost in bytes: none. Cost in time: about two forward passes per batch, outside the training budget, as no training
text is read.
Hurts: the model never sees such input; rare words weigh as much as common ones. The bottom of the scale for
``train`` and ``self_generated``, not a competitor.
"""

from __future__ import annotations

import torch

from pgolf.core.protocols import Model
from pgolf.core.ranges import NonNegativeInt, PositiveInt
from pgolf.quant.calibration.base import Batches, Calibration
from pgolf.quant.calibration.hessian import HessianSums


class RandomTokens:
    """``sequences`` of ``tokens`` ids, ``batch`` at a time."""

    source = "random_tokens"
    reserve_seconds = 0.0

    def __init__(
        self, *, sequences: PositiveInt, tokens: PositiveInt, batch: PositiveInt, seed: NonNegativeInt
    ) -> None:
        self.sequences, self.tokens, self.batch, self.seed = sequences, tokens, batch, seed

    def check(self, model: Model) -> None:
        """Every model will do."""

    def collect(self, model: Model, batches: Batches) -> Calibration:
        sums = HessianSums(model)
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(self.seed)
        words = model.output_table.size(0)
        ids_ST = torch.randint(words, (self.sequences, self.tokens), generator=generator)
        for ids_BT in ids_ST.split(self.batch):
            sums.take(ids_BT.to(device))
        return sums.result(self.source)
