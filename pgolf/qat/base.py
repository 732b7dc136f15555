"""What every training-time device answers: the loss to train on, and the hooks that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Hook, Schedules

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Prepared:
    """``updates`` belong to the step and run before averages are taken; ``hooks`` run after all others."""

    loss: Loss
    updates: tuple[Hook, ...] = ()
    hooks: tuple[Hook, ...] = ()


class TrainingDevice(Protocol):
    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Reads no weight of ``model``, so that one on the meta device tells what is wrong before training.

        Raises ConfigError where this device cannot work with the run's quantizer or schedule.
        """
        ...
