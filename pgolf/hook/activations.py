"""The size of activations behind each block, as curves over the steps.

Every ``every`` steps ``activation_rms/VISIT.layer_LAYER``, the root mean square of the residual stream behind each
visit to a layer, of each lane where there are lanes, on the first window of the step's batch; in the run's precision,
without what is random in training.
Source: what runs are usually watched by; spec records §7.
Cost in bytes: none. Cost in step time: at each such step a copy of the weights and a forward pass over one window,
apart from the compiled graph; 6 % of that step at laptop size, of 8 windows.
Hurts: nothing, it only reads.
"""

from __future__ import annotations

from typing import Any

import torch

from pgolf.arch.activations import activation_rms
from pgolf.core.ranges import PositiveInt
from pgolf.train.state import random_state, restore_random_state
from pgolf.train.trainer import Hook, Trainer


class Activations(Hook):
    def __init__(self, *, every: PositiveInt) -> None:
        self.every = every

    def after_step(self, trainer: Trainer) -> None:
        if trainer.step % self.every or trainer.replicas.rank:  # the first tells for all
            return
        device, autocast = trainer.device, trainer.plan.autocast
        ids_BT = trainer.batches[-1][0][:1].to(device)
        state = random_state()
        try:
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                found = activation_rms(trainer.model, ids_BT)  # type: ignore[arg-type]
        finally:
            restore_random_state(state)
        facts: dict[str, Any] = {f"activation_rms/{place}": value for place, value in found.items()}
        trainer.tell("activations", series=True, **facts)
