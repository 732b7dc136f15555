"""Phases: what changes during a run, listed before it starts (style 15)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that holds or happens from ``start`` to ``end``, both fractions of the run.

    ``at_step``: where the beginning is a step instead, whatever fraction that is. ``switch``: training is another from
    there on, so that a run in which it never begins is not the one that was asked for, and refused.
    """

    start: float
    end: float
    description: str
    at_step: int | None = None
    switch: bool = False

    def __str__(self) -> str:
        if self.at_step is not None:
            return f"from step {self.at_step:,}  {self.description}"
        return f"{100 * self.start:3.0f} – {100 * self.end:3.0f} %  {self.description}"
