"""Keep what training would go on from: at a cadence, when the run is told to stop, and when it is trained.

The state of the trainer (weights, optimizer, averages, place in the text, random numbers, phases, clock) goes to
``checkpoints/`` in the run's folder, whole or not at all; ``resume=true`` goes on from the newest to the same bits.
Whatever breaks off a step, it is that of the last rest: a signal waits for the end of an update of the weights, and
what a step has drawn before is put back. Where the disk refuses one, or each of several processes has a part of the
state and the others may be anywhere, the last that is there stays.
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

from pgolf.core.errors import RunError, TrainingError, UserError
from pgolf.core.ranges import PositiveFloat, PositiveInt
from pgolf.core.results import TrainResult
from pgolf.core.signals import undisturbed
from pgolf.train.checkpoints import Checkpoints, with_all_parts
from pgolf.train.state import random_state
from pgolf.train.trainer import Hook, Trainer, shares_state


class Checkpoint(Hook):
    """One every ``every_seconds`` of the training clock, which all ranks share; the newest ``keep`` are kept.

    Tells ``checkpoint`` of each, with the ``seconds`` it took, and of one that could not be kept.
    """

    def __init__(self, *, every_seconds: PositiveFloat, keep: PositiveInt) -> None:
        self.every_seconds, self.keep = every_seconds, keep
        self._last: float | None = None  # what the clock said at the last one, or when this process began
        # When the last rest was, and what a step changes before it changes weights as of then: one thing, since a
        # signal may come between two.
        self._rest: tuple[tuple[int, float], Mapping[str, Any]] = ((0, 0.0), {})

    def at_start(self, trainer: Trainer) -> None:
        if trainer.folder is not None:
            trainer.whole_update = undisturbed

    def at_rest(self, trainer: Trainer) -> None:
        elapsed = trainer.elapsed + trainer.seconds_before
        self._last = elapsed if self._last is None else self._last
        if trainer.folder is not None:
            drawn = {
                "loader": trainer.loader.state(),
                "seconds": trainer.clock.elapsed,
                "tokens": trainer.tokens,
                "random": random_state(),
            }
            self._rest = _place(trainer), drawn
        if trainer.stopped_by is None and elapsed - self._last >= self.every_seconds:
            self._last = elapsed
            self._keep(trainer, trainer.state)

    def at_break(self, trainer: Trainer, error: BaseException) -> None:
        """An update that failed leaves no whole state, and a loss that is no number comes again; then the last
        checkpoint stays."""
        if trainer.folder and shares_state(trainer):  # the others may be anywhere
            text = "each process has a part of the state; the last that is there stays"
            trainer.tell("checkpoint", f"step {trainer.step:,} is not kept: {text}", seconds=0.0)
        elif trainer.folder and any(_place(trainer)) and trainer.resting and not isinstance(error, TrainingError):
            place, drawn = self._rest
            drawn = drawn if place == _place(trainer) else {}  # else an update has just ended
            text = f"step {trainer.step:,} is kept; resume=true goes on from there"
            try:
                self._keep(trainer, lambda: {**trainer.state(), **drawn}, text)
            except Exception as problem:  # the error that broke the run off is the one to tell
                trainer.tell("checkpoint", f"step {trainer.step:,} is not kept: {problem!r}", seconds=0.0)

    def at_result(self, trainer: Trainer, result: TrainResult) -> None:
        def state() -> dict[str, Any]:
            kept = {field.name: getattr(result, field.name) for field in fields(result)}
            return {**trainer.state(), "result": {**kept, "state": dict(result.state)}}

        self._keep(trainer, state, trained=True)

    def _keep(
        self, trainer: Trainer, state: Callable[[], Mapping[str, Any]], text: str = "", trained: bool = False
    ) -> None:
        if trainer.folder is None and trainer.replicas.world == 1:
            return
        began = time.perf_counter()
        with trainer.clock.paused():
            try:
                _check_finite(trainer)
                kept = state()  # what replicas hold in parts they bring together
                if shares_state(trainer) and not trained:
                    kept = with_all_parts(kept, trainer.own_part(kept), trainer.replicas)
                if trainer.folder is None:
                    return
                checkpoints = Checkpoints(trainer.folder)
                checkpoints.write(trainer.step, trainer.account(), kept, keep=self.keep, trained=trained)
            except (UserError, OSError, RuntimeError) as error:  # the device may be what broke
                text = f"{error}; the last that is there stays"
        trainer.tell("checkpoint", text, seconds=time.perf_counter() - began)


def _place(trainer: Trainer) -> tuple[int, float]:
    """How far the run is; a teacher's steps are none of the run's, but take seconds."""
    return trainer.step, trainer.seconds_before


def _check_finite(trainer: Trainer) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in trainer.model.state_dict().values()):
        raise RunError(f"the weights after step {trainer.step:,} are no numbers any more and not kept")
