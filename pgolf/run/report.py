"""Progress of training for people, loggers and the parseable log: the one hook every run has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgolf.track import textlog
from pgolf.train.trainer import Hook, Trainer

if TYPE_CHECKING:
    from pgolf.run.record import Run
    from pgolf.track.progress import ConsoleProgress

FIRST_STEPS = 10
LINE_SECONDS = 5.0


class Report(Hook):
    """Every step goes to the loggers; the first ten and one every five seconds to train.log."""

    def __init__(self, run: Run, progress: ConsoleProgress) -> None:
        self.run, self.progress = run, progress
        self._last_line = 0.0

    def after_step(self, trainer: Trainer) -> None:
        elapsed = trainer.clock.elapsed
        rate = trainer.tokens / elapsed if elapsed else 0.0
        left = trainer.plan.seconds - elapsed if trainer.plan.steps is None else None
        self.progress.update(
            trainer.step,
            total=trainer.plan.steps,
            fraction=trainer.progress,
            left_seconds=left,
            loss=trainer.loss_nats,
            tokens_per_second=rate,
        )
        self.run.metrics(
            trainer.step,
            train_loss=trainer.loss_nats,
            lr_scale=trainer.lr_scale,
            tokens=trainer.tokens,
            tokens_per_second=rate,
            train_seconds=elapsed,
        )
        if trainer.step <= FIRST_STEPS or elapsed - self._last_line >= LINE_SECONDS:
            self._last_line = elapsed
            steps = trainer.plan.steps or trainer.step
            self.run.log.write(textlog.train_step(trainer.step, steps, trainer.loss_nats, elapsed))
