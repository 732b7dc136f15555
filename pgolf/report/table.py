"""A table that can be read in a terminal and in a README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from pgolf.track.tabular import columns

WIDTH = 110  # of what is printed; tables may be wider


@dataclass(frozen=True, slots=True)
class Table:
    """``notes`` are lines below it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> list[str]:
        lines = [self.title, *(line.plain for line in columns(self.rows, self.header))] if self.rows else [self.title]
        return lines + [line for note in self.notes for line in wrapped(note)]

    def markdown(self) -> list[str]:
        lines = [f"### {self.title}", ""]
        if self.rows:
            lines += [_row(self.header), _row(["---"] * len(self.header)), *map(_row, self.rows), ""]
        return lines + [f"- {note}" for note in self.notes] + ([""] if self.notes else [])


def wrapped(text: str, indent: str = "  ") -> list[str]:
    """``text`` in lines of at most ``WIDTH``, hanging."""
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False) or [""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def signed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:+.{digits}f}"


def probability(p: float) -> str:
    """Five decimals, or what is left of a smaller one: ``0.01264``, ``4.3e-08``."""
    return f"{p:.5f}" if p >= 0.001 else f"{p:.1e}"
