"""Calibrate on text that the model writes itself, word after word: no training text, no clock.

``id_0`` uniform, ``id_t ~ softmax(logits(id_0 … id_{t−1}) / temperature)``, from a fixed seed; then ``H = Σ x xᵀ`` over
the sequences.
Source: #1019 and #1204, 64 sequences of 2,048 words, eight at a time, temperature 0.8 (spec quant §3.6). They ran
the whole prefix for every word, which took 186 to 247 s; here each word is one step of
``pgolf.arch.step.feed``.
Cost in bytes: none. Cost in time: one step per position and group of ``batch`` sequences, then two forward passes,
all outside the training budget, as no training text is read.
Hurts: 0.0003 bits per byte behind forbidden text where random tokens are 0.0020 behind (#756); a weak model
calibrates on weak text. Refused for a model with a part that has no memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.arch.step.feed import Feed, unknown_parts
from pgolf.core.errors import ConfigError
from pgolf.core.protocols import Model
from pgolf.core.ranges import NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.quant.calibration.base import Batches, Calibration
from pgolf.quant.calibration.hessian import HessianSums


class SelfGenerated:
    """``sequences`` of ``tokens`` words, ``batch`` at a time."""

    source = "self_generated"
    reserve_seconds = 0.0

    def __init__(
        self,
        *,
        sequences: PositiveInt,
        tokens: PositiveInt,
        batch: PositiveInt,
        temperature: PositiveFloat,
        seed: NonNegativeInt,
    ) -> None:
        self.sequences, self.tokens, self.batch = sequences, tokens, batch
        self.temperature, self.seed = float(temperature), seed

    def check(self, model: Model) -> None:
        """Raise ConfigError naming every part that cannot be fed in pieces."""
        unknown = unknown_parts(model)
        if unknown:
            raise ConfigError(
                f"quant/calibration: self_generated cannot write with this model: {'; '.join(unknown)}. "
                "Choose quant/calibration=train or random_tokens"
            )

    def collect(self, model: Model, batches: Batches) -> Calibration:
        sums = HessianSums(model)
        generator = torch.Generator(next(model.parameters()).device).manual_seed(self.seed)
        for start in range(0, self.sequences, self.batch):
            sums.take(self.write(model, min(self.batch, self.sequences - start), generator))
        return sums.result(self.source)

    def write(self, model: Model, sequences: int, generator: torch.Generator) -> Tensor:
        """Sequences of the model's own words: int64 [``sequences``, ``tokens``]."""
        words = model.output_table.size(0)
        ids_B = torch.randint(words, (sequences,), generator=generator, device=generator.device)
        written = [ids_B]
        feed = Feed(model)
        while len(written) < self.tokens:
            share_BV = torch.softmax(feed.step(ids_B) / self.temperature, dim=-1)
            ids_B = torch.multinomial(share_BV, 1, generator=generator)[:, 0]
            written.append(ids_B)
        return torch.stack(written, dim=1)
