"""How signals of the stages went over the stream: what a mixer weighed its experts by, and the gates that it was given.

Reduced as they come, in the order of prediction, to the numbers of ``pgolf.core.results.SignalTrace``; nothing is
predicted from them. Of a sealed process they are what it says of itself: no probe looks at them.

Shapes: I positions, S traced numbers, B bins.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgolf.core.errors import UserError
from pgolf.core.results import SignalTrace

BINS = 64
MOST_LETTERS = 80  # of a name that a sealed process tells
MOST_TRACES, MOST_PARTS = 1000, 64  # that it tells; each part is a line beside the verdict
TOGETHER = 1024  # positions that are reduced at a time, since each time costs more than they do


class Traces:
    """Of ``names``, over a stream of so many ``targets``."""

    def __init__(self, names: Sequence[str], targets: int) -> None:
        self.names, self.targets, self.count = list(names), targets, 0
        self._bin_BS, self._size_B = np.zeros((BINS, len(names))), np.zeros(BINS, dtype=np.int64)
        self._mean_S, self._square_S = np.zeros((2, len(names)))  # of all, and of the squares of what is not the mean
        self._waiting: list[np.ndarray] = []
        self._waits = 0  # positions
        self._least_S, self._largest_S = np.full(len(names), np.inf), np.full(len(names), -np.inf)

    def add(self, value_IS: np.ndarray) -> None:
        """Of the next positions; kept."""
        self._waiting.append(value_IS)
        self._waits += len(value_IS)
        if self._waits >= TOGETHER:
            self._reduce()

    def _reduce(self) -> None:
        """What waits."""
        if not self._waits:
            return
        old, more = self.count, self._waits
        value_SI = np.ascontiguousarray(np.concatenate(self._waiting).T, dtype=np.float64)
        self._waiting, self._waits = [], 0
        self.count += more
        mean_S = value_SI.mean(1)
        moved_S = mean_S - self._mean_S
        self._square_S += ((value_SI - mean_S[:, None]) ** 2).sum(1) + moved_S**2 * (old * more / self.count)
        self._mean_S += moved_S * (more / self.count)
        np.minimum(self._least_S, value_SI.min(1), out=self._least_S)
        np.maximum(self._largest_S, value_SI.max(1), out=self._largest_S)
        bin_I = np.minimum(np.arange(old, self.count) * BINS // self.targets, BINS - 1)
        begin_b = np.flatnonzero(np.diff(bin_I, prepend=-1))
        self._bin_BS[bin_I[begin_b]] += np.add.reduceat(value_SI, begin_b, axis=1).T
        self._size_B += np.bincount(bin_I, minlength=BINS)

    def fork(self) -> Traces:
        return copy.deepcopy(self)

    def found(self) -> list[SignalTrace]:
        """None of a stream of which nothing was predicted, or of numbers that are not finite: what came of these, the
        score says."""
        self._reduce()
        if not self.count:
            return []
        deviation_S = np.sqrt(self._square_S / self.count)
        return [
            SignalTrace(
                name,
                self.count,
                float(self._mean_S[s]),
                float(deviation_S[s]),
                float(self._least_S[s]),
                float(self._largest_S[s]),
                tuple(
                    float(total / size) if size else None
                    for total, size in zip(self._bin_BS[:, s], self._size_B, strict=True)
                ),
            )
            for s, name in enumerate(self.names)
            if np.isfinite([self._mean_S[s], self._square_S[s], self._least_S[s], self._largest_S[s]]).all()
        ]


def traces_told(facts: Mapping[str, Any]) -> tuple[SignalTrace, ...]:
    """Those that a sealed process told among its ``facts``. Raises UserError for what is none."""
    try:
        return tuple(_read(told) for told in _few(facts.get("traces", ()), MOST_TRACES))
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"the sealed process told traces that are none: {error}") from error


def parts_told(facts: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of each part of a sealed process's work, by its ``facts``. Raises UserError for what is none."""
    try:
        found = {_name(name): float(seconds) for name, seconds in _few(facts.get("parts", {}), MOST_PARTS).items()}
        if not all(0 <= seconds < math.inf for seconds in found.values()):
            raise ValueError(f"{found} are no seconds")
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"the sealed process told seconds that are none: {error}") from error
    return found


def _few(told: Any, most: int) -> Any:
    if len(told) > most:
        raise ValueError(f"{len(told):,} of them, of {most:,} at most")
    return told


def _name(told: Any) -> str:
    """It is shown on a terminal, beside the verdict."""
    name = str(told)
    if not name.strip() or not name.isprintable() or len(name) > MOST_LETTERS:
        raise ValueError(f"a name of {len(name)} characters, or such as move a cursor: {name[:MOST_LETTERS]!r}")
    return name


def _read(told: Mapping[str, Any]) -> SignalTrace:
    numbers = {name: float(told[name]) for name in ("mean", "deviation", "least", "largest")}
    curve = tuple(None if value is None else float(value) for value in told["curve"])
    known = [value for value in curve if value is not None]
    if len(curve) != BINS or not all(map(math.isfinite, [*numbers.values(), *known])):
        raise ValueError(f"{told['name']!r} has a curve of {len(curve)} numbers, or such as are infinite")
    return SignalTrace(name=_name(told["name"]), count=int(told["count"]), curve=curve, **numbers)
