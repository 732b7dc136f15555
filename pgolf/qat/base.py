"""The contract of the group: a method that makes the rounding after training cheaper, and the loss it trains on.

A method is asked once, before training, what to train on and which hooks go with it. What others must know about
one is an attribute of the class, with its default here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

if TYPE_CHECKING:
    from pgolf.core.protocols import Model, Quantizer
    from pgolf.train.trainer import Hook, Schedules

ModelPart = Callable[..., Tensor]
"""The part of a loss that is the model's. Ends in the arguments ``ids_BT, targets_BT``."""


class Loss:
    """What a trainer minimises: ``loss(ids_BT, targets_BT)`` is a 0-dim tensor, mean nats per token.

    ``Loss(model.loss)`` is the model's own. A subclass may do more in ``__call__``, around the model's part.
    """

    def __init__(self, model_part: ModelPart) -> None:
        self._eager = self._model_part = model_part

    def __call__(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return self._model_part(ids_BT, targets_BT)

    def compile_model_part(self, compiler: Callable[[ModelPart], ModelPart]) -> None:
        """Use ``compiler(part)`` from now on, ``part`` being the model's part as it was before any compiler.

        What a subclass does around that part stays as it is.
        """
        self._model_part = compiler(self._eager)


@dataclass(frozen=True, slots=True)
class Prepared:
    """``updates`` belong to the step and run before averages are taken; ``hooks`` run after all others."""

    loss: Loss
    updates: tuple[Hook, ...] = ()
    hooks: tuple[Hook, ...] = ()


class QATMethod:
    """An option says how the weights are made ready for the grid while they are trained."""

    neutral: ClassVar[bool] = False
    """Whether training goes on as if there were no method; then no quantizer and no schedule can contradict it."""

    @abstractmethod
    def prepare(self, model: Model, quantizer: Quantizer, schedule: Schedules) -> Prepared:
        """Reads no weight of ``model``, so that one on the meta device tells what is wrong before training.

        Raises ConfigError where this method cannot work with the run's quantizer or schedule.
        """
