"""The network: block-parallel, and a pure function of its inputs between two observations.

Shapes: B blocks, T inputs of a block, K kept positions, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.prediction import SIGNALS, Batch, Rows, signals_of
from pgolf.core.protocols import Model, TellingModel

# A product of fewer rows may take another kernel and have other bits, depending on how many blocks are in the batch.
LEAST_ROWS = 16


def widths_of(model: Model) -> Mapping[str, int]:
    """Of the vectors that the model can be asked for."""
    return model.widths() if isinstance(model, TellingModel) else {}


def offers_of(model: Model) -> tuple[str, ...]:
    """What a network of the model can be asked for."""
    return (*SIGNALS, *widths_of(model))


class FixedNetwork:
    """A fixed predictor: ``observe`` changes nothing. The model stays on the device it is on."""

    learns: ClassVar[bool] = False
    replayed: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    cadence: ClassVar[int | None] = None

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def offers(self) -> tuple[str, ...]:
        return offers_of(self.model)

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """fp32 log-softmax of the logits; dropout and the like are off while it runs."""
        return self.traced(batch, wanted)

    def traced(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        was_training = self.model.training
        self.model.eval()
        names = [name for name in wanted if name not in SIGNALS and name in self.offers]
        told: dict[str, Tensor] = {}
        try:
            with torch.autocast(device_type=batch.inputs_BT.device.type, enabled=False):
                rows = min(batch.inputs_BT.shape[1], max(batch.keep, LEAST_ROWS))
                if names and isinstance(self.model, TellingModel):
                    x_BTD, vectors = self.model.hidden_and(batch.inputs_BT, names)
                    logits_BKV = self.model.project(x_BTD[:, -rows:])[:, -batch.keep :]
                    told = {name: vector_BTW[:, -batch.keep :].float() for name, vector_BTW in vectors.items()}
                else:
                    logits_BKV = self.model.logits(batch.inputs_BT, rows)[:, -batch.keep :]
        finally:
            self.model.train(was_training)
        logp_BKV = F.log_softmax(logits_BKV.float(), dim=-1)
        return Rows(logp_BKV, signals_of(wanted, logp_BKV, told))

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """The weights are fixed."""

    def mark(self) -> None:
        """There is no past."""

    def since(self, mark: None) -> FixedNetwork:
        return self

    def fork(self) -> FixedNetwork:
        """Its model is out of training for good: batches side by side would switch that on and off for each other, and
        some kernels for one row differ where a weight wants a gradient."""
        return FixedNetwork(copy.deepcopy(self.model).eval().requires_grad_(False))
