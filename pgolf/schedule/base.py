"""The contract of the group: the factor on every learning rate, from moment to moment."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgolf.train.moment import Moment, RunLength
    from pgolf.train.phases import Phase


class Schedule:
    """An option takes ``length``, that of the run, beside its settings."""

    def __init__(self, length: RunLength) -> None:
        self.length = length

    @abstractmethod
    def scale(self, moment: Moment) -> float:
        """The factor on every learning rate in the step that begins at ``moment``."""

    def foreseen(self, progress: float) -> float | None:
        """The scale at this fraction of the run, before it begins; None where it depends on a speed nobody knows."""
        moment = self.length.at(progress)
        return None if moment is None else self.scale(moment)

    @abstractmethod
    def phases(self) -> list[Phase]:
        """What the learning rate will do, as far as it is known."""
