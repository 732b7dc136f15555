"""Stop before the budget's seconds are over: when the elapsed time plus one mean step would exceed them.

Source: spec optimizer §7 (a record that ended at 601.15 s was challenged).
"""

from __future__ import annotations

from pgolf.train.trainer import Hook, Trainer


class Wallclock(Hook):
    def __init__(self) -> None:
        pass

    def after_step(self, trainer: Trainer) -> None:
        elapsed = trainer.clock.elapsed
        if elapsed + elapsed / trainer.step > trainer.plan.seconds:
            trainer.stop("wallclock")
