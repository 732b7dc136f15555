"""Tell the modules of a model how far the run is: for those whose temperature or the like follows it.

A part that ``follows_progress`` is told before the first step and after every one. Cost: nothing where no part
does, since the hook is then not built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pgolf.arch.base import Part
from pgolf.core.protocols import Model
from pgolf.train.trainer import Hook, Trainer


class ModelProgress(Hook):
    """``listeners`` are the ``at_progress`` methods of the parts that follow."""

    def __init__(self, model: Model) -> None:
        found = (*model.modules(), *(part for term in model.terms for part in term.modules()))
        parts = (module for module in found if isinstance(module, Part))
        self.listeners: list[Callable[[float], None]] = [p.at_progress for p in parts if p.follows_progress]
        self._told = 0.0

    def at_start(self, trainer: Trainer) -> None:
        self._tell(0.0)

    def after_step(self, trainer: Trainer) -> None:
        self._tell(trainer.progress)

    def state(self) -> dict[str, Any]:
        return {"told": self._told}

    def restore(self, state: Mapping[str, Any]) -> None:
        """What parts make of it is no weight, so the model's own state has not brought it back."""
        self._tell(state["told"])

    def _tell(self, fraction: float) -> None:
        self._told = fraction
        for listener in self.listeners:
            listener(fraction)
