"""Phases: what changes during a run, listed before it starts (style 15)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that holds or happens from ``start`` to ``end``, both fractions of the run."""

    start: float
    end: float
    description: str

    def __str__(self) -> str:
        return f"{100 * self.start:3.0f} – {100 * self.end:3.0f} %  {self.description}"
