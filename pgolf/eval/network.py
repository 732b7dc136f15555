"""The network as an expert. Shapes: B windows, T positions, K kept positions, V vocabulary."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.protocols import Model


class NetworkExpert:
    """A fixed predictor: ``observe`` changes nothing. The model stays on the device it is on."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @torch.inference_mode()
    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        """fp32 log-softmax of the logits, [B, keep, V]; dropout and the like are off while it runs."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.autocast(device_type=inputs_BT.device.type, enabled=False):
                logits_BKV = self.model.logits(inputs_BT, keep)
        finally:
            self.model.train(was_training)
        return F.log_softmax(logits_BKV.float(), dim=-1)

    def observe(self, tokens_N: Tensor) -> None:
        """The weights are fixed."""

    def fork(self) -> NetworkExpert:
        """Its model is out of training for good: batches side by side would switch that on and off for each other."""
        return NetworkExpert(copy.deepcopy(self.model).eval())
