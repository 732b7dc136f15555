"""What benchmarks measure, round by round, and what two tables of them say of each other.

A figure has a value for each round and, where there is one, a floor for each round: what could not be beaten, in the
same unit. Nothing is assumed of how times are spread. The interval of a median is from one of its sorted values to
another: of n independent ones, the median of what they come from lies outside the k-th from both ends with the
probability that a coin falls on one side k - 1 times of n at most, or on the other. Five rounds give 93.75 %, from the
smallest to the largest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pgolf.core.errors import ConfigError, DataError

FORMAT = 1
COVERAGE = 0.93  # of an interval, where there are rounds enough
PEAKS = ("fp32 products", "bf16 products", "copying", "reads in turn")  # floors that are the machine's alone
Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One round's value of the figure ``name``. ``floor``: at most, or at least, so much, says ``of``; ``where``: where
    the time went. ``exact``: no time and no matter of chance, such as bytes."""

    name: str
    value: float
    unit: str
    better: Better = "more"
    floor: float | None = None
    of: str = ""
    where: str = ""
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """The readings of all rounds; ``where`` is that of the round in the middle. ``floors`` is empty without them."""

    name: str
    unit: str
    better: Better
    of: str
    where: str
    exact: bool
    values: tuple[float, ...]
    floors: tuple[float, ...]

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def shares(self) -> tuple[float, ...]:
        """Value ÷ floor of each round."""
        return tuple(value / floor for value, floor in zip(self.values, self.floors, strict=False))

    @property
    def share(self) -> float | None:
        return statistics.median(self.shares) if self.floors else None

    @property
    def spread(self) -> float:
        """Half the interval of the median, as a part of it."""
        found = interval(self.values)
        return (found.high - found.low) / 2 / found.middle if found.middle else 0.0


@dataclass(frozen=True, slots=True)
class BenchResult:
    """A benchmark's figures, or in ``reason`` why there are none. ``size``: what was measured, by name."""

    size: Mapping[str, Any]
    figures: tuple[Figure, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """All of one session. ``machine``: what must be the same where two are compared; ``about``: what may differ."""

    machine: Mapping[str, Any]
    about: Mapping[str, Any]
    threads: tuple[int, ...]
    rounds: int
    benches: Mapping[str, BenchResult]


@dataclass(frozen=True, slots=True)
class Interval:
    """Of a median: it lies between ``low`` and ``high`` with the probability ``coverage``."""

    middle: float
    low: float
    high: float
    coverage: float

    @property
    def holds_one(self) -> bool:
        return self.low <= 1 <= self.high


def interval(values: Sequence[float], wanted: float = COVERAGE) -> Interval:
    """The narrowest that covers the median as surely as ``wanted``, or the widest there is."""
    ordered, n = sorted(values), len(values)
    within = [1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n for k in range((n + 1) // 2)]
    k = max((k for k, coverage in enumerate(within) if coverage >= wanted), default=0)
    return Interval(statistics.median(ordered), ordered[k], ordered[n - 1 - k], max(0.0, within[k]))


def gathered(rounds: Sequence[Sequence[Reading]]) -> tuple[Figure, ...]:
    """The figures of rounds that all have the same ones, in their order."""
    by_name: dict[str, list[Reading]] = {}
    for readings in rounds:
        for reading in readings:
            by_name.setdefault(reading.name, []).append(reading)
    return tuple(_figure(readings) for readings in by_name.values())


def _figure(readings: Sequence[Reading]) -> Figure:
    first, ordered = readings[0], sorted(readings, key=lambda reading: reading.value)
    return Figure(
        name=first.name,
        unit=first.unit,
        better=first.better,
        of=first.of,
        where=ordered[len(ordered) // 2].where,
        exact=first.exact,
        values=tuple(reading.value for reading in readings),
        floors=tuple(reading.floor for reading in readings if reading.floor is not None),
    )


@dataclass(frozen=True, slots=True)
class FigureChange:
    """Of a figure from one sheet to another: ``ratio`` is new ÷ old of ``basis``, ``better`` says which way is good."""

    bench: str
    name: str
    unit: str
    old: float
    new: float
    ratio: Interval
    basis: str
    better: Better

    @property
    def verdict(self) -> str:
        if self.ratio.low == self.ratio.high == 1:
            return "the same"
        if self.ratio.coverage < COVERAGE and self.basis != "exact":
            return "too few rounds"
        if self.ratio.holds_one:
            return "within noise"
        return "better" if (self.ratio.middle > 1) == (self.better == "more") else "worse"


def change(bench: str, old: Figure, new: Figure) -> FigureChange:
    """From rounds that have nothing to do with each other: the machine's peaks are divided out where a figure has one
    for its floor, since it may have been slower altogether; bytes are compared as they are, all else in absolute terms.
    """
    if old.exact and new.exact:
        basis, before, after = "exact", old.values, new.values
    elif old.of == new.of and new.of.removesuffix(" peak") in PEAKS and old.floors and new.floors:
        basis, before, after = f"share of {new.of}", old.shares, new.shares
    else:
        basis, before, after = "absolute", old.values, new.values
    a, b = interval(before), interval(after)
    ratio = Interval(
        quotient(b.middle, a.middle), quotient(b.low, a.high), quotient(b.high, a.low), min(a.coverage, b.coverage)
    )
    return FigureChange(bench, new.name, new.unit, old.value, new.value, ratio, basis, new.better)


def paired(bench: str, old: Figure, new: Figure) -> FigureChange:
    """From rounds in turn: each of one with that of the other beside it, so that the machine's mood divides out."""
    ratios = [quotient(b, a) for a, b in zip(old.values, new.values, strict=True)]
    return FigureChange(bench, new.name, new.unit, old.value, new.value, interval(ratios), "pairs", new.better)


def quotient(a: float, b: float) -> float:
    """a ÷ b; of nothing by nothing 1, of something by nothing without end."""
    if b:
        return a / b
    return 1.0 if not a else math.inf


def refuse_others(old: Sheet, new: Sheet, where: str) -> None:
    """Raise ConfigError, all reasons by name, where two sheets are of different machines or numbers of threads."""
    names = sorted({*old.machine, *new.machine})
    problems = [
        f"{where}: {name}: {old.machine.get(name)!r} there, {new.machine.get(name)!r} here"
        for name in names
        if old.machine.get(name) != new.machine.get(name)
    ]
    if old.threads != new.threads:
        problems.append(f"{where}: threads: {_list(old.threads)} there, {_list(new.threads)} here")
    if problems:
        raise ConfigError([*problems, "times of another machine are not compared; --against takes turns on one"])


def refuse_sizes(where: str, bench: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise ConfigError, by name, where a benchmark measured something else."""
    problems = [
        f"{where}: {bench}: {name}: {old.get(name)!r} there, {new.get(name)!r} here"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if problems:
        raise ConfigError(problems)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def to_plain(sheet: Sheet) -> dict[str, Any]:
    """For JSON."""
    return {"pgolf_bench": FORMAT, **asdict(sheet)}


def from_plain(value: Any, where: str) -> Sheet:
    """What ``to_plain`` made. Raises DataError for anything else."""
    try:
        if value["pgolf_bench"] != FORMAT:
            raise DataError(f"{where}: written in format {value['pgolf_bench']!r}; this version reads {FORMAT}")
        benches = {str(name): _measured(bench) for name, bench in value["benches"].items()}
        threads = tuple(map(int, value["threads"]))
        return Sheet(dict(value["machine"]), dict(value["about"]), threads, int(value["rounds"]), benches)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: not what pgolf bench --json writes ({type(error).__name__}: {error})") from error


def _measured(value: Any) -> BenchResult:
    return BenchResult(dict(value["size"]), tuple(map(_read, value["figures"])), str(value["reason"]))


def _read(value: Any) -> Figure:
    """Raises KeyError, TypeError, ValueError."""
    known = {field.name for field in fields(Figure)}
    if set(value) != known:
        raise ValueError(f"a figure has {', '.join(sorted(known))}")
    values, floors = (tuple(map(float, value[name])) for name in ("values", "floors"))
    if not values or not all(map(math.isfinite, (*values, *floors))) or len(floors) not in (0, len(values)):
        raise ValueError(f"{value['name']}: a value for each round, finite, and as many floors or none")
    if value["better"] not in ("more", "less"):
        raise ValueError(f"{value['name']}: better: {value['better']!r} is neither 'more' nor 'less'")
    texts = {name: str(value[name]) for name in ("name", "unit", "of", "where")}
    return Figure(**texts, better=value["better"], exact=bool(value["exact"]), values=values, floors=floors)
