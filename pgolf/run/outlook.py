"""How far a run will come, in words: for ``dry_run=true`` before it, and in every run once first steps are timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from pgolf.core.events import Event
from pgolf.schedule.base import Schedule
from pgolf.train.pace import Pace, never, pace_of
from pgolf.train.phases import Phase
from pgolf.train.trainer import Trainer

# As many steps, and as many seconds, are seen before something is said.
LEAST_STEPS, LEAST_SECONDS = 10, 2.0


def outlook(pace: Pace, cfg: Mapping[str, Any], train_tokens: int) -> str:
    """Steps, seconds, tokens and epochs of the run."""
    steps, each = pace.steps, ", then ".join(f"{1000 * stretch.step_seconds:,.0f}" for stretch in pace.stretches)
    tokens, allowed = steps * cfg["train"]["batch_tokens"], cfg["budget"]["train_seconds"]
    if pace.fixed_steps:
        text = f"{steps:,} steps of {each} ms take about {pace.needed_seconds:,.0f} s"
    else:
        reserve = float(allowed) - pace.seconds
        less = f" ({allowed:g} s less {reserve:g} s reserved for calibration)" if reserve else ""
        text = f"about {steps:,} steps of {each} ms fit {pace.seconds:g} s{less}"
    return f"{text}: {tokens:,} tokens, {tokens / train_tokens:.2f} epochs"


def phases_at(pace: Pace, trainer: Trainer) -> list[Phase]:
    """The phases of the run as they are foreseen at this pace, by start: some schedules go by what a step takes."""
    schedule = trainer.schedule
    if not isinstance(schedule, Schedule):
        return trainer.phases()
    length = schedule.length
    schedule.length = replace(length, step_seconds=pace.needed_seconds / max(1, pace.steps))
    try:
        return sorted(trainer.phases(), key=pace.step_of)
    finally:
        schedule.length = length


class Outlook:
    """A listener that says it once, with the step of what is to change, by ``tell``."""

    def __init__(self, cfg: Mapping[str, Any], tell: Callable[[str, str], None]) -> None:
        self._cfg, self._tell = cfg, tell
        self._trainer: Trainer | None = None
        self._train_tokens = 0
        self._seconds: list[float] = []  # what the clock said after each step of this process
        self._told = False

    def hear(self, event: Event) -> None:
        if event.name == "data":
            self._train_tokens = event.facts["dataset"].facts["train"].tokens
        elif event.name == "built":
            self._trainer = event.facts["trainer"]
        elif event.name == "step" and not self._told:
            self._seconds.append(event.facts["train_seconds"])
            seen = self._seconds[-1] - self._seconds[0]
            if len(self._seconds) > LEAST_STEPS and seen >= LEAST_SECONDS:
                self._told = True
                self._tell("forecast", "\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        trainer = self._trainer
        assert trainer is not None
        each = median(after - before for before, after in zip(self._seconds, self._seconds[1:], strict=False))
        routes = dict.fromkeys(trainer.model.routes, each)  # those to come have not been timed
        model, plan = trainer.model, trainer.plan
        pace = pace_of(routes, model.active, model.activations(), plan.seconds, plan.steps)
        yield outlook(pace, self._cfg, self._train_tokens)
        phases = [phase for phase in phases_at(pace, trainer) if phase.switch]
        yield from (f"step {pace.step_of(p):,}: {p.description}" for p in phases if pace.step_of(p) < pace.steps)
        yield from (f"likely never: {text}" for text in never(phases, pace.steps))
