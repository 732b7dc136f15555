"""Seconds by stage of a run, and which limit of the budget each stage is held against.

``stage/part`` is what a stage, one of the others, says that a part of it took; its seconds are in the stage's already.
Those of ``evaluate`` are told by the process that scores: ``load`` (artifact to model), ``compile`` (kernels of the
experts and the mixer), ``prepare`` (what else comes before the first question: plans, copies, tables), ``network``
(forward passes), each expert and the mixer by its name, ``prices`` (rows handed on, priced and summed) and ``observe``
(memory, learning). Its threads work beside each other, so that parts may add up to more than their stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Calibration is charged to training and adaptation to evaluation; the certificate is outside both.
CHARGED_TO: Mapping[str, str] = {
    "train": "train_seconds",
    "calibrate": "train_seconds",
    "evaluate": "eval_seconds",
}
# Building a model and what trains it costs seconds that are nobody's; more of them are training by another name.
FREE_BUILD_SECONDS = 20.0


def stage_of(line: str, ledger: Mapping[str, float]) -> str:
    """Whose part a line of the ledger is; itself where it is a stage."""
    stage, slash, _ = line.partition("/")
    return stage if slash and stage in ledger else line


def stages_alone(ledger: Mapping[str, float]) -> dict[str, float]:
    """Without the parts, whose seconds would count twice."""
    return {line: seconds for line, seconds in ledger.items() if stage_of(line, ledger) == line}


def spent(ledger: Mapping[str, float], limit: str) -> float:
    """Seconds of all stages charged to ``limit`` (``train_seconds``, ``eval_seconds``)."""
    charged = sum(seconds for stage, seconds in ledger.items() if CHARGED_TO.get(stage) == limit)
    return charged + (long_build(ledger) if limit == "train_seconds" else 0.0)


def long_build(ledger: Mapping[str, float]) -> float:
    """Seconds of the stage ``build`` that count as training."""
    return max(0.0, ledger.get("build", 0.0) - FREE_BUILD_SECONDS)


def within(result: Mapping[str, Any], limit: str) -> bool:
    """Is what a run (as in result.json) charged to ``limit`` within it? A missing or null limit is no limit.

    Training counts by its own clock, which stands still while a hook validates, and may overrun by one mean
    step, because the clock is read after a step. Evaluation counts as its score says, without the start of its process.
    """
    allowed, train, ledger = result["budget"].get(limit), result["train"], result["ledger"]
    if allowed is None:
        return True
    final = result.get("scores", {}).get("final")
    if limit == "eval_seconds" and final:
        return final["seconds"] <= float(allowed)
    if limit != "train_seconds" or not train:
        return spent(ledger, limit) <= float(allowed)
    one_step = train["ms_per_step"] / 1000
    return spent({**ledger, "train": train["seconds"]}, limit) <= float(allowed) + one_step


class StageLedger:
    """Collects wall-clock seconds by stage name, in the order the stages were first entered.

    A stage entered again adds to its sum. A stage inside another interrupts it: every second is counted
    once. Stages that raise are counted too. ``before``: the seconds of earlier processes of the same run.
    """

    def __init__(
        self,
        *,
        budget: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        before: Mapping[str, float] | None = None,
    ) -> None:
        self.budget = dict(budget or {})
        self._clock = clock
        self._seconds: dict[str, float] = dict(before or {})
        self._open: list[str] = []
        self._since = clock()

    def _charge(self) -> None:
        now = self._clock()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the block as ``name``."""
        self._charge()
        self._seconds.setdefault(name, 0.0)
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def add(self, name: str, seconds: float) -> None:
        """Add seconds measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def parts(self, stage: str, seconds: Mapping[str, float]) -> None:
        """Of a stage's time, so much went into each of these; it stays the stage's."""
        for name, some in seconds.items():
            self.add(f"{stage}/{name}", some)

    def inside(self, name: str, seconds: float) -> None:
        """Of the time just spent in the open stage, so many belong to ``name``."""
        self._charge()
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        if self._open:
            self._seconds[self._open[-1]] -= seconds

    @property
    def total(self) -> float:
        """Seconds of all stages together."""
        return sum(stages_alone(self.as_dict()).values())

    def spent(self, limit: str) -> float:
        """Seconds charged to one limit of the budget so far."""
        return spent(self.as_dict(), limit)

    def left(self, limit: str) -> float | None:
        """Seconds left of a limit, negative when it is overrun; None where the budget has no such limit."""
        allowed = self.budget.get(limit)
        return None if allowed is None else float(allowed) - self.spent(limit)

    def as_dict(self) -> dict[str, float]:
        """Seconds by stage; a stage still open is counted up to now."""
        seconds = dict(self._seconds)
        if self._open:
            seconds[self._open[-1]] += self._clock() - self._since
        return seconds
