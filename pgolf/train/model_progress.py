"""Tell the modules of a model how far the run is: for those whose temperature or the like follows it.

A module that has ``at_progress(fraction)`` is told before the first step and after every one; what it changes
must be a tensor, or compiled graphs would keep the old value (spec optimizer §6). Cost: nothing where no module
has it, since the hook is then not built.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pgolf.train.trainer import Hook, Trainer


class ModelProgress(Hook):
    """``listeners`` are the ``at_progress`` methods of a model's modules."""

    def __init__(self, model: nn.Module) -> None:
        methods = (getattr(module, "at_progress", None) for module in model.modules())
        self.listeners: list[Callable[[float], None]] = [method for method in methods if method is not None]

    def at_start(self, trainer: Trainer) -> None:
        self._tell(0.0)

    def after_step(self, trainer: Trainer) -> None:
        self._tell(trainer.progress)

    def _tell(self, fraction: float) -> None:
        for listener in self.listeners:
            listener(fraction)
