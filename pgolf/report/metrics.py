"""metrics.jsonl of a run as series, however it ended: lines that cannot be read are counted, the others stand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgolf.core.errors import RunError
from pgolf.core.json_text import parse_json

METRICS_NAME = "metrics.jsonl"
MOST_BYTES = 1 << 28
AXES = ("step", "train_seconds")
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Metrics:
    """``rows``: of each readable line its finite numbers, in the order of the file; ``problem``: what is wrong with the
    file, "" for nothing."""

    rows: tuple[Mapping[str, float], ...]
    problem: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of everything measured, in the order in which it first appears."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def series(self, name: str, axis: str = "step") -> list[tuple[float, float]]:
        """``name`` over ``axis``, where both are known."""
        return [(row[axis], row[name]) for row in self.rows if name in row and axis in row]


def read_metrics(run: Path) -> Metrics:
    """Of the run in this folder; a missing file is a problem of its own."""
    path = run / METRICS_NAME
    try:
        if path.exists() and not path.is_file():
            return Metrics((), f"{METRICS_NAME} is no file")
        if path.stat().st_size > MOST_BYTES:
            return Metrics((), f"{METRICS_NAME} has more than {MOST_BYTES:,} bytes")
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return Metrics((), f"there is no {METRICS_NAME}")
    except OSError as error:
        return Metrics((), f"{METRICS_NAME} cannot be read: {error.strerror or error}")
    rows, broken = [], []
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line, f"line {number}", RunError)
        except RunError:
            row = None
        if isinstance(row, dict):
            rows.append({name: float(value) for name, value in row.items() if _is_number(value)})
        elif line.strip():
            broken.append(number)
    return Metrics(tuple(rows), _told(broken, len(lines)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _told(broken: Sequence[int], lines: int) -> str:
    if not broken:
        return ""
    if broken == [lines]:
        return f"the last line of {METRICS_NAME} is half a line"
    return f"{len(broken):,} of {lines:,} lines of {METRICS_NAME} cannot be read, the first is line {broken[0]:,}"


def means(points: Sequence[tuple[float, float]], most: int) -> tuple[list[tuple[float, float]], int]:
    """At most ``most`` points, each the mean of so many neighbours at the place of the last; and of how many."""
    of = math.ceil(len(points) / most) if points else 1
    groups = [points[i : i + of] for i in range(0, len(points), of)]
    return [(group[-1][0], math.fsum(value for _, value in group) / len(group)) for group in groups], of
