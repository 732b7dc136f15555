"""What every form of recurrence answers; the forms override what they need (spec arch §7–8)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from pgolf.arch.block import Context
from pgolf.arch.part import Part
from pgolf.arch.visits import Schedule, Visit

if TYPE_CHECKING:
    from pgolf.arch.unet import UNet


@dataclass(frozen=True, slots=True)
class Activation:
    """``schedule`` becomes active when the run reaches ``start``: a fraction of it, or a step where ``steps``."""

    schedule: str
    start: float
    steps: bool = False


class Recurrence(Part):
    """Schedules over the layers, when they become active, and what a repeated visit owns."""

    @abstractmethod
    def schedules(self) -> tuple[Schedule, ...]:
        """All schedules of this model; the one active at the start comes first, the final one last."""

    def activations(self) -> tuple[Activation, ...]:
        """When which further schedule becomes active; empty where the first one stays."""
        return ()

    def own_mlp(self, visit: Visit) -> Literal["none", "down", "full"]:
        """Which MLP matrices this visit owns instead of sharing them with its layer's first visit."""
        return "none"

    def before_visit(self, visit: Visit, x_BTD: Tensor, context: Context) -> Tensor:
        """The stream as a visit receives it."""
        return x_BTD

    def after_visit(self, visit: Visit, x_BTD: Tensor, context: Context, model: UNet) -> Tensor:
        """The stream as a visit leaves it; the place for carries and auxiliary losses of training."""
        return x_BTD
