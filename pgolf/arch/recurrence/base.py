"""What every form of recurrence answers; the forms override what they need (spec arch §7–8)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.visits import Route, Visit
from pgolf.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Activation:
    """``route`` becomes active when the run reaches ``start``: a fraction of it, or a step where ``steps``."""

    route: str
    start: float
    steps: bool = False

    def due(self, step: int, progress: float) -> bool:
        """Whether a run that has taken ``step`` steps and done the fraction ``progress`` has reached it."""
        return (step if self.steps else progress) >= self.start

    def __str__(self) -> str:
        return f"step {int(self.start):,}" if self.steps else f"{100 * self.start:g} % of the run"


class Trunk(Protocol):
    """What a form of recurrence may ask of the model that it runs in."""

    @property
    def route(self) -> Route:
        """The active one."""
        ...

    def word_loss(self, x_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy (nats) of the head's words on normed hidden states."""
        ...


class Recurrence(Part):
    """Routes over the layers, when they become active, and what a repeated visit owns.

    ``neutral``: it repeats nothing, so that it fits every topology.
    """

    neutral: bool = False

    @abstractmethod
    def routes(self) -> tuple[Route, ...]:
        """All routes of this model; the one active at the start comes first, the final one last."""

    def activations(self) -> tuple[Activation, ...]:
        """When which further route becomes active, in order; empty where the first one stays."""
        return ()

    def own_mlp(self, visit: Visit) -> Literal["none", "down", "full"]:
        """Which MLP matrices this visit owns instead of sharing them with its layer's first visit."""
        return "none"

    def before_visit(self, visit: Visit, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        """The stream as a visit finds it, its skip added; the place for what tells passes apart."""
        return stream

    def after_visit(
        self, visit: Visit, stream: ResidualStream, context: ForwardContext, model: Trunk
    ) -> ResidualStream:
        """The stream as a visit leaves it; the place for carries and penalties of training."""
        return stream


def repeat_after_last(layers: int, repeated: Sequence[int]) -> list[int]:
    """0, …, c−1, repeated, c, …, layers−1 with c one more than the last repeated layer."""
    resume = max(repeated) + 1
    return [*range(resume), *repeated, *range(resume, layers)]


def check_start(setting: str, start: float) -> None:
    """Raise ConfigError for a fraction of the run that leaves nothing of it."""
    if start >= 1:
        raise ConfigError(
            f"arch.recurrence.{setting}: {start:g} is the end of the run, where nothing is activated any more; below 1"
        )


def check_layers(setting: str, listed: Sequence[int], layers: int) -> None:
    """Raise ConfigError unless ``listed`` names distinct layers of the model, one at least."""
    outside = [i for i in listed if not 0 <= i < layers]
    if outside:
        raise ConfigError(f"arch.recurrence.{setting}: {outside} out of range; the layers are 0..{layers - 1}")
    if not listed or len(set(listed)) != len(listed):
        raise ConfigError(
            f"arch.recurrence.{setting}: {list(listed)} must name one layer at least, each once; "
            "arch/recurrence=none repeats none"
        )
