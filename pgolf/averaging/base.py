"""The contract of the group: a hook that keeps an average of the weights, and says what it is an average of."""

from __future__ import annotations

from pgolf.train.trainer import Hook, Trainer


class Averaging(Hook):
    """Sets ``trainer.average`` at the start; stands before the other hooks, which so see this step's average.

    ``exported``: in words, which weights are exported as things are now.
    """

    exported: str
    of_update = True

    def at_end(self, trainer: Trainer) -> None:
        trainer.exported = self.exported
        trainer.tell("average", f"exported: {self.exported}")
