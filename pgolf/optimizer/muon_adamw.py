"""Muon for the matrices, AdamW for embeddings, head and scalars.

Muon's momentum ramps linearly from ``momentum_start`` to ``momentum_end`` over the first ``momentum_ramp`` of the
run. The head, where it is untied, trains with ``head_lr``; the group ``scalar_no_decay`` as the other scalars, but
never decayed. Weight decay is decoupled and follows the scheduled learning rate. Formulas: ``muon`` and
``torch.optim.AdamW``.
Source: the public baseline and all its records; spec optimizer §1, §2.
Cost in bytes: none in the artifact; in memory one fp32 value per weight of a matrix, two per other weight.
Cost in step time: Newton–Schulz, 0.4 % of the arithmetic of a baseline step at record size.
Hurts: a ramp counted in steps never arrives on short runs, hence the fraction of the run.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import nn

from pgolf.core.make import make
from pgolf.core.protocols import Model
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat
from pgolf.core.results import OptimizerGroup
from pgolf.optimizer.matrix_update import MatrixUpdate
from pgolf.optimizer.muon import Muon
from pgolf.train.phases import Phase


class MuonAdamW:
    def __init__(
        self,
        *,
        model: Model,
        matrix_lr: PositiveFloat,
        embedding_lr: PositiveFloat,
        head_lr: PositiveFloat,
        scalar_lr: PositiveFloat,
        matrix_weight_decay: NonNegativeFloat,
        embedding_weight_decay: NonNegativeFloat,
        scalar_weight_decay: NonNegativeFloat,
        momentum_start: Fraction,
        momentum_end: Fraction,
        momentum_ramp: Fraction,
        nesterov: bool,
        ns_dtype: Literal["bfloat16", "float32"],
        orthogonal: Mapping[str, Any],
        normalize: Mapping[str, Any],
        decay: Mapping[str, Any],
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
    ) -> None:
        self.ramp = (momentum_start, momentum_end, momentum_ramp)
        groups = partition(model)
        self.muon = Muon(
            groups["matrix"],
            lr=matrix_lr,
            momentum=momentum_start,
            weight_decay=matrix_weight_decay,
            update=MatrixUpdate(make(orthogonal, dtype=getattr(torch, ns_dtype)), make(normalize), nesterov),
            decay=make(decay),
        )
        rates = {
            "embedding": (embedding_lr, embedding_weight_decay),
            "head": (head_lr, 0.0),
            "scalar": (scalar_lr, scalar_weight_decay),
            "scalar_no_decay": (scalar_lr, 0.0),
        }
        self.adamw = torch.optim.AdamW(
            [{"params": groups[g], "lr": lr, "weight_decay": wd} for g, (lr, wd) in rates.items() if groups[g]],
            betas=(beta1, beta2),
            eps=epsilon,
        )
        self._base_lrs = [[g["lr"] for g in o.param_groups] for o in (self.muon, self.adamw)]

    def step(self, lr_scale: float, progress: float) -> None:
        """One update with every learning rate times ``lr_scale``; ``progress`` is the fraction of the run done."""
        start, end, ramp = self.ramp
        arrived = min(1.0, progress / ramp) if ramp else 1.0
        for group in self.muon.param_groups:
            group["momentum"] = start + (end - start) * arrived
        for optimizer, base_lrs in zip((self.muon, self.adamw), self._base_lrs, strict=True):
            for group, base in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = base * lr_scale
            optimizer.step()

    def zero_grad(self) -> None:
        self.muon.zero_grad(set_to_none=True)
        self.adamw.zero_grad(set_to_none=True)

    def phases(self) -> list[Phase]:
        start, end, ramp = self.ramp
        return [Phase(0.0, ramp, f"momentum {start:g} → {end:g}")] if ramp and start != end else []

    def state(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.muon.load_state_dict(copy.deepcopy(dict(state["muon"])))
        self.adamw.load_state_dict(copy.deepcopy(dict(state["adamw"])))


def partition(model: Model) -> dict[str, list[nn.Parameter]]:
    """The model's parameters by optimizer group; asserts that each is in exactly one."""
    specs = model.param_specs()
    groups: dict[str, list[nn.Parameter]] = {group: [] for group in get_args(OptimizerGroup)}
    for name, parameter in model.named_parameters():
        groups[specs[name].group].append(parameter)
    placed = [id(p) for members in groups.values() for p in members]
    assert len(placed) == len(set(placed)) == len(list(model.parameters())), "a parameter lies in no group or in two"
    return groups
