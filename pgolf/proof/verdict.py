"""How a probe answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pgolf.core.results import ProbeResult

_TOLD = 3  # complaints spelt out in a message


class Verdict:
    """Collects what a probe measured and what it found wrong; the first complaint leads the message."""

    def __init__(self, letter: str, name: str) -> None:
        self.letter, self.name = letter, name
        self.measured: dict[str, Any] = {}
        self.problems: list[str] = []
        self._started = time.perf_counter()

    def record(self, facts: Mapping[str, Any] | None = None, **more: Any) -> None:
        self.measured.update(facts or {}, **more)

    def require(self, holds: bool, problem: str) -> None:
        if not holds and problem not in self.problems:
            self.problems.append(problem)

    def result(self, summary: str, seconds: float | None = None) -> ProbeResult:
        """``summary`` is the message where nothing was found wrong; ``seconds`` what it took, by default here."""
        told = self.problems[:_TOLD]
        if len(self.problems) > _TOLD:
            told.append(f"and {len(self.problems) - _TOLD} more")
        return ProbeResult(
            letter=self.letter,
            name=self.name,
            passed=not self.problems,
            measured=self.measured,
            message="; ".join(told) or summary,
            seconds=time.perf_counter() - self._started if seconds is None else seconds,
        )
