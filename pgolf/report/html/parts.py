"""What a page is made of: sections of facts, tables, charts and rows of bars. No HTML, and no text that is escaped yet.

Colours are numbers of a palette that the style sheet knows, for light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgolf.report.table import Table

COLOURS = 8
Kind = Literal["", "good", "bad", "warn"]


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    note: str = ""
    kind: Kind = ""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The few numbers that are read first."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names with their values, which may be long."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Notice:
    text: str
    kind: Kind = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    label: str
    colour: int
    mark: str = ""  # a number that stands in the picture


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture; ``svg`` is markup, made by ``charts`` alone."""

    title: str
    svg: str
    keys: tuple[Key, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Charts:
    """Beside each other where there is room."""

    charts: tuple[Chart, ...]
    keys: tuple[Key, ...] = ()  # of all of them
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BarSpan:
    """A bar from ``start`` to ``end``, in the unit of its rows."""

    start: float
    end: float
    colour: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """``whisker``: the ends of an error bar; ``points``: single values; ``mean``: a mark."""

    label: str
    text: str
    spans: tuple[BarSpan, ...] = ()
    whisker: tuple[float, float] | None = None
    points: tuple[float, ...] = ()
    mean: float | None = None
    kind: Kind = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars on one scale from ``low`` to ``high``, with a line at ``zero``."""

    title: str
    rows: tuple[Bar, ...]
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    zero: float | None = None
    keys: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()

    def at(self, value: float) -> float:
        """Where ``value`` lies, in percent of the width."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(100 * min(max(share, 0.0), 1.0), 2)


@dataclass(frozen=True, slots=True)
class Folded:
    """What few want to read, shown when it is asked for."""

    title: str
    parts: tuple[Part, ...] = ()
    text: str = ""


Part: TypeAlias = "KeyFacts | Pairs | Notice | Table | Charts | Bars | Folded"


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    parts: Sequence[Part] = field(default_factory=tuple)
    lead: str = ""
