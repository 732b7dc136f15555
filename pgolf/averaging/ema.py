"""Exponential moving average of the weights, exported instead of the last step's.

``e ← d·e + (1−d)·w`` after every step, in fp32 on the training device; the decay is warmed up,
``min(d, (1+t)/(10+t))``, so that a short run does not export its initial weights (decisions 9).
Source: #187, #374, #414 (−0.0006 bits per byte over averaged snapshots); spec optimizer §5.
Cost in bytes: none in the artifact; one fp32 copy of the weights in memory. Cost in step time: one pass over the
weights; a copy on the host instead cost 32 % of the throughput (#360).
Hurts: with a large decay on a short run, which the warm-up softens; a bf16 copy would lose small updates (#2095).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pgolf.averaging.base import Averaging
from pgolf.core.ranges import Fraction
from pgolf.train.phases import Phase
from pgolf.train.trainer import Trainer


class EMA(Averaging):
    def __init__(self, *, decay: Fraction) -> None:
        self.decay = decay
        self.exported = f"exponential moving average with decay {decay:g}"
        self.shadow: dict[str, torch.Tensor] = {}

    def phases(self) -> list[Phase]:
        return [Phase(0.0, 1.0, f"weights averaged with decay {self.decay:g}")]

    def at_start(self, trainer: Trainer) -> None:
        self.shadow = {name: value.detach().float().clone() for name, value in trainer.model.state_dict().items()}
        trainer.average = lambda: self.shadow

    @torch.no_grad()
    def after_step(self, trainer: Trainer) -> None:
        decay = min(self.decay, (1 + trainer.step) / (10 + trainer.step))
        live = trainer.model.state_dict()
        names = list(self.shadow)
        torch._foreach_lerp_([self.shadow[n] for n in names], [live[n].float() for n in names], 1 - decay)

    @torch.no_grad()
    def after_switch(self, trainer: Trainer, copied: Mapping[str, str]) -> None:
        """Weights that start as copies have the average of their originals: the averaged model stays the same."""
        for name, original in copied.items():
            self.shadow[name].copy_(self.shadow[original])

    def state(self) -> dict[str, Any]:
        return {"shadow": self.shadow}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        for name, value in state["shadow"].items():
            self.shadow[name].copy_(value)
