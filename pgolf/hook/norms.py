"""Norms of gradients and updates and the size of weights, by optimizer group, as curves over the steps.

Every ``every`` steps: ``grad_norm`` of all gradients and ``grad_norm/GROUP`` of a group's, as the optimizer gets them;
``update_norm/GROUP``, what the step (and what belongs to it) added to the weights; ``weight_rms/GROUP``, the root of
their mean square after it. Norms are ‖·‖₂ over all weights of a group. Where several processes each have a share of
the matrices' gradients (``optimizer/sharding=banks``), ``grad_norm`` and ``grad_norm/matrix`` are left out.
Source: what runs are usually watched by; spec records §7.
Cost in bytes: none. Cost in step time: at each such step one copy of the weights and three passes over them, under 1 %
of that step.
Hurts: nothing, it only reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        found: dict[str, Any] = _gradient_norms(trainer, parameters, groups)
        for group, names in groups.items():
            weights = [parameters[name] for name in names]
            moved = [p - self._before[name] for name, p in zip(names, weights, strict=True)]
            found[f"update_norm/{group}"] = _norm(moved)
            found[f"weight_rms/{group}"] = _norm(weights) / max(1, sum(p.numel() for p in weights)) ** 0.5
        self._before = {}
        trainer.tell("norms", series=True, **found)


def _gradient_norms(
    trainer: Trainer, parameters: Mapping[str, Tensor], groups: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    own = trainer.optimizer.own_gradients if trainer.replicas.world > 1 else frozenset()
    members = {f"grad_norm/{group}": names for group, names in groups.items() if group not in own}
    if not own:
        members = {"grad_norm": [*parameters], **members}
    return {
        name: _norm([gradient for one in ones if (gradient := parameters[one].grad) is not None])
        for name, ones in members.items()
    }


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(tensors)) if tensors else 0.0
