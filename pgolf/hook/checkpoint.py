"""Keep what training would go on from: at a cadence, when the run is told to stop, and when it is trained.

The state of the trainer (weights, optimizer, averages, place in the text, random numbers, phases, clock) goes to
``checkpoints/`` in the run's folder, whole or not at all; ``resume=true`` goes on from the newest to the same bits.
A signal waits for the end of the step it comes in. Where the disk refuses one, the last that is there stays.
Source: the habit of every trainer that runs for longer than its machine; design/house.md §5.
Cost in bytes: none in the artifact; on the disk ``keep`` times model, averages and optimizer, removed when the run is
complete. Cost in step time: none, the clock stands still meanwhile; it neither reads text nor makes weights.
Hurts: on a slow disk the run takes longer in all. Without a folder (a bundled script) it does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch

from pgolf.core.errors import RunError
from pgolf.core.ranges import PositiveFloat, PositiveInt
from pgolf.core.results import TrainResult
from pgolf.core.signals import undisturbed
from pgolf.train.checkpoints import Checkpoints
from pgolf.train.trainer import Hook, Trainer


class Checkpoint(Hook):
    """One every ``every_seconds`` of the training clock, which all ranks share; the newest ``keep`` are kept.

    Tells ``checkpoint`` of each, with the ``seconds`` it took, and of one that could not be kept.
    """

    def __init__(self, *, every_seconds: PositiveFloat, keep: PositiveInt) -> None:
        self.every_seconds, self.keep = every_seconds, keep
        self._last: float | None = None  # what the clock said at the last one, or when this process began

    def at_start(self, trainer: Trainer) -> None:
        if trainer.folder is not None:
            trainer.whole_step = undisturbed

    def at_rest(self, trainer: Trainer) -> None:
        elapsed = trainer.clock.elapsed + trainer.seconds_before
        self._last = elapsed if self._last is None else self._last
        if trainer.stopped_by is None and elapsed - self._last >= self.every_seconds:
            self._last = elapsed
            self._keep(trainer, trainer.state)

    def at_break(self, trainer: Trainer, error: BaseException) -> None:
        """A step that failed leaves no whole state; the last checkpoint stays."""
        if isinstance(error, KeyboardInterrupt) and trainer.resting and (trainer.step or trainer.seconds_before):
            self._keep(trainer, trainer.state, f"step {trainer.step:,} is kept; resume=true goes on from there")

    def at_result(self, trainer: Trainer, result: TrainResult) -> None:
        def state() -> dict[str, Any]:
            kept = {field.name: getattr(result, field.name) for field in fields(result)}
            return {**trainer.state(), "result": {**kept, "state": dict(result.state)}}

        self._keep(trainer, state, trained=True)

    def _keep(
        self, trainer: Trainer, state: Callable[[], Mapping[str, Any]], text: str = "", trained: bool = False
    ) -> None:
        if trainer.folder is None:
            return
        began = time.perf_counter()
        with trainer.clock.paused():
            try:
                _check_finite(trainer)
                checkpoints = Checkpoints(trainer.folder)
                checkpoints.write(trainer.step, trainer.account(), state(), keep=self.keep, trained=trained)
            except RunError as error:
                text = f"{error}; the last that is there stays"
        trainer.tell("checkpoint", text, seconds=time.perf_counter() - began)


def _check_finite(trainer: Trainer) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in trainer.model.state_dict().values()):
        raise RunError(f"the weights after step {trainer.step:,} are no numbers any more and not kept")
