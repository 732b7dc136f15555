"""The contract of the group: a hook that keeps an average of the weights, and says what it is an average of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgolf.train.trainer import Hook, Trainer

if TYPE_CHECKING:
    from pgolf.train.trainer import Schedules


class Averaging(Hook):
    """Sets ``trainer.average`` at the start; stands before the other hooks, which so see this step's average.

    ``exported``: in words, which weights are exported as things are now.
    """

    exported: str

    def prepare(self, schedule: Schedules) -> None:
        """Told of the run's schedule before anything else. Raises ConfigError where nothing would be averaged."""

    def at_end(self, trainer: Trainer) -> None:
        trainer.tell("average", f"exported: {self.exported}", exported=self.exported)
