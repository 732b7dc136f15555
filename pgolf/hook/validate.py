"""Score the averaged weights on dev at even distances through the run; the clock is paused meanwhile.

Non-overlapping windows over the first ``dev_tokens`` of dev: a progress signal, never a reported score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from pgolf.core.ranges import PositiveInt
from pgolf.core.results import Score
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Trainer


class Validate(Hook):
    """``times`` validations at even fractions of the run; ``dev_tokens`` tokens each."""

    def __init__(self, *, times: PositiveInt, dev_tokens: PositiveInt) -> None:
        self.times, self.dev_tokens = times, dev_tokens
        self.measure: Callable[[Mapping[str, Tensor], int], Score] | None = None
        self.report: Callable[[Trainer, Score], None] = lambda trainer, score: None
        self._done = 0

    def connect(
        self, measure: Callable[[Mapping[str, Tensor], int], Score], report: Callable[[Trainer, Score], None]
    ) -> None:
        """Give the hook its eyes: ``measure(weights, tokens)`` on dev, and where to report."""
        self.measure, self.report = measure, report

    def phases(self) -> list[Phase]:
        return [
            Phase(k / self.times, k / self.times, f"dev score of the first {self.dev_tokens:,} tokens")
            for k in range(1, self.times)
        ]

    def after_step(self, trainer: Trainer) -> None:
        due = int(trainer.progress * self.times)
        if due <= self._done or trainer.stopped_by is not None or due >= self.times:
            return
        self._done = due
        assert self.measure is not None, "Validate.connect was not called"
        with trainer.clock.paused():
            self.report(trainer, self.measure(trainer.snapshot(), self.dev_tokens))
