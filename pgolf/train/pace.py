"""How many steps will fit, and at which step each phase begins: from a few timed steps.

A clocked run takes steps until its seconds are over; where its route changes at a fraction of the run or at a step, a
step takes another time from there on. Nothing here is kept in a bundled script. Wrong by as much as the machine is
busier later than while the steps are timed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgolf.core.errors import ConfigError
from pgolf.core.protocols import RouteSwitch
from pgolf.train.phases import Phase
from pgolf.train.trainer import Trainer
from pgolf.train.warmup import no_trace

# Timed in each route, after one that is not: as many as the seconds allow, one at least.
TIMED_STEPS, TIMED_SECONDS = 3, 4.0
# A forecast is refused only where it is wrong by more than that: the machine may be busy just now.
DOUBT = 2.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``step`` and ``seconds`` on, each step takes ``step_seconds``."""

    step: float
    seconds: float
    step_seconds: float


@dataclass(frozen=True, slots=True)
class Pace:
    """A run of ``seconds``, or of ``fixed_steps``."""

    stretches: Sequence[Stretch]
    seconds: float
    fixed_steps: int | None

    @property
    def steps(self) -> int:
        """In all."""
        return self.fixed_steps or int(self._step_after(self.seconds))

    @property
    def needed_seconds(self) -> float:
        """Of all steps."""
        last = next(s for s in reversed(self.stretches) if s.step <= self.steps)
        return last.seconds + (self.steps - last.step) * last.step_seconds

    def _step_after(self, seconds: float) -> float:
        last = next(s for s in reversed(self.stretches) if s.seconds <= seconds)
        return last.step + (seconds - last.seconds) / last.step_seconds

    def step_of(self, phase: Phase) -> int:
        """After how many steps it begins."""
        if phase.at_step is not None:
            return phase.at_step
        if self.fixed_steps:
            return math.ceil(round(phase.start * self.fixed_steps, 9))
        return math.ceil(round(self._step_after(phase.start * self.seconds), 9))


def pace_of(
    step_seconds: Mapping[str, float], first: str, switches: Sequence[RouteSwitch], seconds: float, steps: int | None
) -> Pace:
    """``step_seconds`` by route; ``first`` is the one active at the start, ``switches`` say when others are."""
    stretches = [Stretch(0.0, 0.0, step_seconds[first])]
    for switch in switches:
        last = stretches[-1]
        if switch.steps or steps is not None:
            step = switch.start if switch.steps else switch.start * float(steps or 0)
            at = last.seconds + (step - last.step) * last.step_seconds
        else:
            at = switch.start * seconds
            step = last.step + (at - last.seconds) / last.step_seconds
        if step >= (math.inf if steps is None else steps) or (steps is None and at >= seconds):
            break
        stretches.append(Stretch(step, at, step_seconds[switch.route]))
    return Pace(stretches, seconds, steps)


def timed(trainer: Trainer) -> Pace:
    """Take a few steps in each route of the run, leaving no trace, and see how long they take."""
    model, found = trainer.model, dict[str, float]()
    with no_trace(trainer):
        for route in (model.active, *(switch.route for switch in model.activations())):
            model.use(route)
            took: list[float] = []
            while len(took) < 2 or (len(took) <= TIMED_STEPS and sum(took) < TIMED_SECONDS):
                began = trainer.clock.read()
                trainer.forward_backward()
                trainer.optimizer.step(1.0, 0.0)
                took.append(trainer.replicas.first(trainer.clock.read() - began))
            found[route] = sorted(took[1:])[(len(took) - 1) // 2]
    return pace_of(found, model.active, model.activations(), trainer.plan.seconds, trainer.plan.steps)


def never(phases: Sequence[Phase], steps: int) -> Iterator[str]:
    """What of ``phases`` a run of ``steps`` never comes to."""
    for phase in phases:
        if phase.switch and phase.at_step is not None and phase.at_step >= steps:
            yield f"{phase.description}: from step {phase.at_step:,} on, and the run ends after {steps:,}"
        elif phase.switch and phase.at_step is None and (steps - 1) / steps < phase.start:
            start = f"from {100 * phase.start:g} % of the run on"
            yield f"{phase.description}: {start}, and none of its {steps:,} steps begins there"


def refuse_never(phases: Sequence[Phase], steps: int | None) -> None:
    """Raise ConfigError for a phase that a run of a fixed number of steps never comes to. None: its seconds end it."""
    problems = [] if steps is None else [f"phases: never begins: {text}" for text in never(phases, steps)]
    if problems:
        raise ConfigError(problems)


def refuse_out_of_reach(trainer: Trainer, pace: Pace | None = None) -> None:
    """Raise ConfigError for a phase that begins at a step which a run by the clock will not reach, by far.

    Takes a few steps only where there is such a phase and no ``pace`` yet.
    """
    phases = [phase for phase in trainer.phases() if phase.switch and phase.at_step is not None]
    if trainer.plan.steps is not None or not phases:
        return
    steps = (pace or timed(trainer)).steps
    problems = [f"phases: out of reach: {text}, by a few timed steps" for text in never(phases, int(DOUBT * steps))]
    if problems:
        raise ConfigError(problems)
