"""Score the averaged weights on dev at even distances through the run; the clock is paused meanwhile.

Non-overlapping windows, ``dev_tokens`` in all, spread evenly over dev: a progress signal, never a reported score.
Validation ``k`` of ``times`` comes at ``k/(times+1)`` of the run.
Source: the public baseline's periodic validation, outside its clock; spec optimizer §7.
Cost in bytes: none. Cost in step time: none on the training clock; in waiting, one forward pass over
``times·dev_tokens`` tokens.
Hurts: no score, it only reads the weights; a large ``dev_tokens`` makes the whole run longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgolf.core.ranges import PositiveInt
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Trainer


class Validate(Hook):
    """``times`` validations at even distances inside the run, not at its end; ``dev_tokens`` tokens each."""

    def __init__(self, *, times: PositiveInt, dev_tokens: PositiveInt) -> None:
        self.times, self.dev_tokens = times, dev_tokens
        self._done = 0

    def phases(self) -> list[Phase]:
        return [
            Phase(
                k / (self.times + 1),
                k / (self.times + 1),
                f"dev score of a sample of {self.dev_tokens:,} tokens",
            )
            for k in range(1, self.times + 1)
        ]

    def at_rest(self, trainer: Trainer) -> None:
        """Here, not in the step: it takes its time, and a run that is told to stop meanwhile has a whole state."""
        due = min(self.times, int(trainer.progress * (self.times + 1)))
        if due <= self._done:  # the same on all replicas, as who is told to stop need not be
            return
        with trainer.clock.paused():
            if trainer.replicas.rank == 0 and trainer.stopped_by is None:  # the first scores for all
                self._score(trainer)
            trainer.replicas.wait()  # the next message is not waited for as long as a score may take
        self._done = due

    def _score(self, trainer: Trainer) -> None:
        score = trainer.score_dev(trainer.weights().state, self.dev_tokens)
        text = f"{score.val_bpb:.4f} bits per byte after {trainer.step} steps (sample)"
        trainer.tell(
            "dev",
            text,
            series=True,
            dev_loss=score.val_loss,
            dev_bpb=score.val_bpb,
            train_seconds=trainer.clock.elapsed,
        )

    def state(self) -> dict[str, Any]:
        return {"done": self._done}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._done = state["done"]
