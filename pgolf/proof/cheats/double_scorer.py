"""An evaluator that scores every token at two temperatures and keeps the better score: probe (d).

Each pass alone would be honest; choosing afterwards needs the target. It writes past the write-once slots.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pgolf.core.protocols import Mixer
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.slots import WriteOnce

LETTER = "d"
_TEMPERATURE = 0.5


class Sharper:
    """A mixer that sharpens what another mixer gives."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer

    def combine(self, logps: Sequence[Tensor]) -> Tensor:
        return torch.log_softmax(self.mixer.combine(logps) / _TEMPERATURE, dim=-1)

    def observe(self, logps_target: Sequence[Tensor]) -> None:
        self.mixer.observe(logps_target)

    def fork(self) -> Mixer:
        return Sharper(self.mixer.fork())


class BetterOfTwo(Evaluator):
    def _score_chunk(self, first: int, last: int) -> list[Tensor]:
        logps = super()._score_chunk(first, last)
        slots, mixer = self.slots, self.mixer
        self.slots, self.mixer = WriteOnce(self.stream_tokens - 1), Sharper(mixer)
        super()._score_chunk(first, last)
        better = np.fmin(slots.nll_nats_N[first:last], self.slots.nll_nats_N[first:last])
        self.slots, self.mixer = slots, mixer
        self.slots._nll_nats_N[first:last] = better
        return logps


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, evaluator_type=BetterOfTwo)
