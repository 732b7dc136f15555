"""Muon for the matrices, AdamW for embeddings, head and scalars.

Muon's momentum ramps linearly from ``momentum_start`` to ``momentum_end`` over the first ``momentum_ramp`` of the
run, or over that many steps. The head, where it is untied, trains with ``head_lr``; the group ``scalar_no_decay`` as
the other scalars, but never decayed. Matrices of the layers from the fraction ``late_from`` of all layers on have
``late_factor`` times the rate. Weight decay follows the scheduled learning rate; that of the matrices falls linearly
from ``decay_taper_from`` of the run on, to ``decay_taper_factor`` of itself. Formulas: ``muon`` and
``torch.optim.AdamW``.
Source: the public baseline and all its records; spec optimizer §1, §2.
Cost in bytes: none in the artifact; in memory one fp32 value per weight of a matrix, two per other weight.
Cost in step time: Newton–Schulz, 0.4 % of the arithmetic of a baseline step at record size.
Hurts: a ramp counted in steps never arrives on short runs, hence the fraction of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.protocols import Model
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat
from pgolf.optimizer.grouped import Grouped, beside_matrices, partition, with_rates
from pgolf.optimizer.matrix_update import MatrixUpdate
from pgolf.optimizer.muon import Muon
from pgolf.train.phases import Phase
from pgolf.train.replicas import Replicas


class MuonAdamW(Grouped):
    def __init__(
        self,
        *,
        model: Model,
        matrix_lr: PositiveFloat,
        embedding_lr: PositiveFloat,
        head_lr: PositiveFloat,
        scalar_lr: PositiveFloat,
        late_factor: PositiveFloat,
        late_from: Fraction,
        matrix_weight_decay: NonNegativeFloat,
        embedding_weight_decay: NonNegativeFloat,
        scalar_weight_decay: NonNegativeFloat,
        decay_taper_factor: Fraction,
        decay_taper_from: Fraction,
        momentum_start: Fraction,
        momentum_end: Fraction,
        momentum_ramp: NonNegativeFloat,
        momentum_ramp_in: Literal["fraction", "steps"],
        nesterov: bool,
        ns_dtype: Literal["bfloat16", "float32"],
        orthogonal: Mapping[str, Any],
        normalize: Mapping[str, Any],
        decay: Mapping[str, Any],
        sharding: Mapping[str, Any],
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
    ) -> None:
        if momentum_ramp % 1 if momentum_ramp_in == "steps" else momentum_ramp > 1:
            raise ConfigError(
                f"optimizer.momentum_ramp: {momentum_ramp:g} is no {momentum_ramp_in.rstrip('s')}, which "
                "optimizer.momentum_ramp_in says; a fraction of the run lies in 0 to 1, steps are whole"
            )
        if decay_taper_factor < 1 and decay_taper_from == 1:
            raise ConfigError("optimizer.decay_taper_factor: has no effect from the run's end on (decay_taper_from: 1)")
        self.ramp, self.ramp_in = (momentum_start, momentum_end, momentum_ramp), momentum_ramp_in
        self.decay, self.taper = matrix_weight_decay, (decay_taper_factor, decay_taper_from)
        groups = partition(model)
        late = _late(model, late_from) if late_factor != 1 else set()
        matrices = {"matrix": [p for p in groups["matrix"] if id(p) not in late]}
        matrices["late_matrix"] = [p for p in groups["matrix"] if id(p) in late]
        self.muon = Muon(
            with_rates(
                matrices,
                {
                    "matrix": (matrix_lr, matrix_weight_decay),
                    "late_matrix": (matrix_lr * late_factor, matrix_weight_decay),
                },
            ),
            momentum=momentum_start,
            update=MatrixUpdate(make(orthogonal, dtype=getattr(torch, ns_dtype)), make(normalize), nesterov),
            decay=make(decay),
            sharding=make(sharding),
        )
        embedding, scalar = (embedding_lr, embedding_weight_decay), (scalar_lr, scalar_weight_decay)
        rates = beside_matrices(embedding, head_lr, scalar)
        self.adamw = torch.optim.AdamW(with_rates(groups, rates), betas=(beta1, beta2), eps=epsilon)
        super().__init__(muon=self.muon, adamw=self.adamw)

    @property
    def shards_state(self) -> bool:
        return self.muon.sharding.shards_state

    @property
    def own_gradients(self) -> frozenset[str]:
        return frozenset({"matrix"}) if self.muon.sharding.shards_gradients else frozenset()

    def average(
        self, replicas: Replicas, parameters: Sequence[nn.Parameter], also: Sequence[Tensor], clip: float | None
    ) -> None:
        self.muon.sharding.average(replicas, parameters, self.muon.banks(), also, clip)

    def _prepare(self, progress: float) -> None:
        start, end, ramp = self.ramp
        done = progress if self.ramp_in == "fraction" else self.steps
        arrived = min(1.0, done / ramp) if ramp else 1.0
        factor, taper_from = self.taper
        tapered = max(0.0, progress - taper_from) / (1 - taper_from) if factor < 1 else 0.0
        for group in self.muon.param_groups:
            group["momentum"] = start + (end - start) * arrived
            group["weight_decay"] = self.decay * (1 - (1 - factor) * tapered)

    def phases(self) -> list[Phase]:
        start, end, ramp = self.ramp
        factor, taper_from = self.taper
        found = []
        if ramp and start != end:
            what = f"momentum {start:g} → {end:g}"
            in_steps = self.ramp_in == "steps"
            found.append(Phase(0.0, 1.0, f"{what} over {ramp:,.0f} steps") if in_steps else Phase(0.0, ramp, what))
        if factor < 1 and self.decay:
            found.append(Phase(taper_from, 1.0, f"weight decay falls to {factor:g} of itself"))
        return found


def _late(model: Model, late_from: float) -> set[int]:
    """Parameters of the layers from this fraction of all on, by id; what belongs to no one layer is none of them.

    Raises ConfigError where that is no matrix.
    """
    specs = model.param_specs()
    layers = 1 + max((spec.layer for spec in specs.values() if spec.layer is not None), default=-1)
    late: set[int] = set()
    for name, p in model.named_parameters():
        layer = specs[name].layer
        if layer is not None and layer >= late_from * layers and specs[name].group == "matrix":
            late.add(id(p))
    if not late:
        raise ConfigError(f"optimizer.late_from: {late_from:g} of {layers} layers leaves no matrix to late_factor")
    return late
