"""``dry_run=true``: what the run would come to, from a few timed steps; nothing is trained, and no run is kept.

The forecasts are those at the head of every run: bytes by the Gaussian law, the evaluation by its rehearsal, and steps
by taking a few. They are taken eagerly, since compiling takes longer than all of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from pgolf.artifact.forecast import refuse_unreachable
from pgolf.build import wants_compile
from pgolf.config.readonly import thaw
from pgolf.core.events import Event
from pgolf.core.protocols import Progress
from pgolf.run import stages
from pgolf.run.listeners import Screen
from pgolf.run.model_report import report_model
from pgolf.run.outlook import outlook, phases_at
from pgolf.run.recorder import Recorder
from pgolf.track.console import Console
from pgolf.train.pace import refuse_out_of_reach, timed
from pgolf.train.replicas import Replicas


class DryRun(Recorder):
    """Shows what stages tell and keeps none of it."""

    def __init__(self, cfg: Mapping[str, Any], console: Console, replicas: Replicas) -> None:
        super().__init__(cfg, replicas.process)
        self.replicas = replicas
        self.screen = Screen(console)

    def progress(self, label: str, unit: str = "") -> AbstractContextManager[Progress]:
        return self.screen.progress(label, unit)

    def hear(self, event: Event) -> None:
        self.screen.hear(event)


def dry_run(cfg: Mapping[str, Any], replicas: Replicas) -> tuple[float, int]:
    """Print the forecast. Raises UserError for whatever a run would be refused for before it trains."""
    with Console() as console:
        run = DryRun(cfg, console, replicas)
        replicas.shared(thaw(cfg))
        dataset = stages.prepare(run)
        with stages.validation_closed(run, dataset):
            trainer = stages.build(run, dataset)
            refuse_unreachable(report_model(run, console, dataset, trainer.model))
            with run.progress("steps"):
                pace = timed(trainer)
            trainer.loader.close()
            run.tell("steps", outlook(pace, cfg, dataset.facts["train"].tokens))
            faster = "; the run will be compiled, which makes them faster: more will fit"
            run.tell("timed", f"eagerly{faster * wants_compile(cfg, run.device)}")
            phases = [(f"{pace.step_of(phase):,}", phase) for phase in phases_at(pace, trainer)]
            console.table("phases", phases, ("step", "what"))
            refuse_out_of_reach(trainer, pace)
            stages.rehearse(run, dataset, stages.composed(run, dataset, trainer.model))
        run.tell("dry run", "nothing was trained and no folder made")
        replicas.told(0)
    return math.nan, 0
