"""The network: block-parallel, and a pure function of its inputs between two observations.

Shapes: B blocks, T inputs of a block, K kept positions, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.prediction import SIGNALS, Batch, Rows
from pgolf.core.protocols import Model

# A product of fewer rows may take another kernel and have other bits, depending on how many blocks are in the batch.
LEAST_ROWS = 16


class FixedNetwork:
    """A fixed predictor: ``observe`` changes nothing. The model stays on the device it is on."""

    learns: ClassVar[bool] = False
    replayed: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    cadence: ClassVar[int | None] = None
    offers: ClassVar[tuple[str, ...]] = tuple(SIGNALS)

    def __init__(self, model: Model) -> None:
        self.model = model

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """fp32 log-softmax of the logits; dropout and the like are off while it runs."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.autocast(device_type=batch.inputs_BT.device.type, enabled=False):
                rows = min(batch.inputs_BT.shape[1], max(batch.keep, LEAST_ROWS))
                logits_BKV = self.model.logits(batch.inputs_BT, rows)[:, -batch.keep :]
        finally:
            self.model.train(was_training)
        logp_BKV = F.log_softmax(logits_BKV.float(), dim=-1)
        return Rows(logp_BKV, {name: SIGNALS[name](logp_BKV) for name in wanted})

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """The weights are fixed."""

    def fork(self) -> FixedNetwork:
        """Its model is out of training for good: batches side by side would switch that on and off for each other, and
        some kernels for one row differ where a weight wants a gradient."""
        return FixedNetwork(copy.deepcopy(self.model).eval().requires_grad_(False))
