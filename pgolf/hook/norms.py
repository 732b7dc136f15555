"""Norms of gradients and updates and the size of weights, by optimizer group, as curves over the steps.

Every ``every`` steps: ``grad_norm`` of all gradients and ``grad_norm/GROUP`` of a group's, as the optimizer gets them;
``update_norm/GROUP``, what the step (and what belongs to it) added to the weights; ``weight_rms/GROUP``, the root of
their mean square after it. Norms are ‖·‖₂ over all weights of a group.
Source: what runs are usually watched by; spec records §7.
Cost in bytes: none. Cost in step time: at each such step one copy of the weights and three passes over them, under 1 %
of that step.
Hurts: nothing, it only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pgolf.core.ranges import PositiveInt
from pgolf.train.trainer import Hook, Trainer


class Norms(Hook):
    def __init__(self, *, every: PositiveInt) -> None:
        self.every = every
        self._before: dict[str, Tensor] = {}

    def at_start(self, trainer: Trainer) -> None:
        self._copy(trainer)

    def at_rest(self, trainer: Trainer) -> None:
        self._copy(trainer)

    def _copy(self, trainer: Trainer) -> None:
        """The weights before a step that is to be looked at."""
        if (trainer.step + 1) % self.every == 0:
            self._before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}

    @torch.no_grad()
    def after_step(self, trainer: Trainer) -> None:
        if trainer.step % self.every or not self._before:
            return
        groups: dict[str, list[str]] = {}
        parameters = dict(trainer.model.named_parameters())
        for name, spec in trainer.model.param_specs().items():
            groups.setdefault(spec.group, []).append(name)
        found: dict[str, Any] = {"grad_norm": _norm([p.grad for p in parameters.values() if p.grad is not None])}
        for group, names in groups.items():
            weights = [parameters[name] for name in names]
            gradients = [p.grad for p in weights if p.grad is not None]
            moved = [p - self._before[name] for name, p in zip(names, weights, strict=True)]
            found[f"grad_norm/{group}"] = _norm(gradients)
            found[f"update_norm/{group}"] = _norm(moved)
            found[f"weight_rms/{group}"] = _norm(weights) / max(1, sum(p.numel() for p in weights)) ** 0.5
        self._before = {}
        trainer.tell("norms", series=True, **found)


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(tensors)) if tensors else 0.0
