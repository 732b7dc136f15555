"""Put the weights onto the export grid after every step. Not recommended: small updates are lost.

Formula: w ← Ŵ(w) after each optimizer step, with the run's own bits and scales.
Source: the message of #687 describes its training so; spec quant §6, decisions 17.
Cost in bytes: none in the artifact, 1.5 kB of code. Cost in step time: none before the start; then the rounding of
every matrix.
When it hurts: always beside qat=ste. Updates smaller than half a step vanish instead of adding up, late in a
    run nearly all of them; averages of the weights leave the grid again. Here for comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from pgolf.qat.base import Loss, Prepared, QATMethod
from pgolf.qat.grid_plan import Grid, grid_plan
from pgolf.qat.start import Switch
from pgolf.train.start import Start, StartFraction, StartScale
from pgolf.train.trainer import Hook, Trainer

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Schedules


class Projected(QATMethod):
    """``qat=projected``; exactly one of ``start`` and ``start_lr_scale`` is a number."""

    def __init__(self, *, start: StartFraction, start_lr_scale: StartScale) -> None:
        self.start, self.start_lr_scale = start, start_lr_scale

    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Raises ConfigError where training cannot know the grid, and for a start that never comes."""
        start = Start(self.start, self.start_lr_scale, schedule)
        grids = grid_plan(quantizer, model, "projected")
        project = Project(model, grids)
        what = f"projected: {len(grids)} tensors put onto the export grid after every step (not recommended)"
        switch = Switch(start, what, project.turn_on)
        loss = Loss(model.loss)
        return Prepared(loss, updates=(project,), hooks=(switch,))


class Project(Hook):
    """The projection; does nothing before ``turn_on``."""

    of_update = True

    def __init__(self, model: Model, grids: Mapping[str, Grid]) -> None:
        parameters = dict(model.named_parameters())
        self.targets = [(parameters[name], grid) for name, grid in grids.items()]
        self.on = False

    def turn_on(self) -> None:
        self.on = True

    @torch.no_grad()
    def after_step(self, trainer: Trainer) -> None:
        if self.on:
            for parameter, grid in self.targets:
                parameter.copy_(grid.round(parameter)[0])
