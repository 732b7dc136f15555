"""Experiments beside one of them: differences, their intervals, and what was published of the same change."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.config.saved import differences, holds
from pgolf.core.errors import RunError
from pgolf.report.against import LEAST_SEEDS, described
from pgolf.report.experiments import Experiment
from pgolf.report.statistics import welch
from pgolf.report.table import Table, number, signed, whole

PUBLISHED_COLUMNS = ("words", "val_bpb", "source")
_MOST_WORDS = 4
_MOST_OTHERS = 24  # a candidate for the base is held against; all pairs of thousands take hours


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of somebody's table: ``words`` say which configs it is about; without words it is the others' base."""

    words: tuple[str, ...]
    val_bpb: float
    source: str


def read_published(path: Path) -> list[PublishedRow]:
    """A CSV with the columns words, val_bpb, source: ``arch/mlp=swiglu optimizer.matrix_lr=0.02,1.4659,#1026``.

    Lines that begin with # are remarks. Raises RunError for another file.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = [line for line in file if not line.startswith("#")]
        reader = csv.DictReader(lines)
        if tuple(reader.fieldnames or ()) != PUBLISHED_COLUMNS:
            raise ValueError(f"its columns are {', '.join(reader.fieldnames or ()) or 'none'}")
        rows = [PublishedRow(tuple(row["words"].split()), float(row["val_bpb"]), row["source"] or "") for row in reader]
    except (OSError, TypeError, AttributeError, ValueError, csv.Error) as error:
        raise RunError(f"{path}: no table of {', '.join(PUBLISHED_COLUMNS)} ({error})") from error
    for row in rows:
        for word in row.words:
            if "=" not in word:
                raise RunError(f"{path}: {word!r} is no word such as mixer=none")
    return rows


def base_of(found: Sequence[Experiment], configs: Mapping[str, Mapping[str, Any]], wanted: str) -> Experiment:
    """The experiment that the others are compared with: the one whose name holds ``wanted``, or whose config the words
    in it hold for; by default the one that differs from the others in the fewest places, of many from ``_MOST_OTHERS``
    spread over them. Raises RunError."""
    if wanted:
        fitting = [one for one in found if _is_meant(one, configs, wanted)]
        if len(fitting) != 1:
            names = ", ".join(one.name for one in fitting or found)
            raise RunError(f"--base: {wanted!r} fits {len(fitting) or 'none'} of {names}")
        return fitting[0]
    known = [one for one in found if one.key in configs and one.bpb is not None] or list(found)
    if len(known) < 3:
        return known[0]
    others = [configs.get(other.key) for other in known[:: -(-len(known) // _MOST_OTHERS)]]
    return min(known, key=lambda one: sum(_places(configs.get(one.key), other) for other in others))


def _is_meant(one: Experiment, configs: Mapping[str, Mapping[str, Any]], wanted: str) -> bool:
    if "=" in wanted and one.key in configs:
        return all(holds(configs[one.key], word) for word in wanted.split())
    return wanted in one.name


def _places(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> int:
    return len(differences(a, b)) if a is not None and b is not None else 1


@dataclass(frozen=True, slots=True)
class Change:
    """One experiment beside the base, which is the first of them. ``words``: in what it differs. ``difference`` in bits
    per byte, with the ends of its ``interval`` at 95 %, None where there is none; ``shown``: better, worse or not
    shown, with the reason; empty for the base. ``published`` is somebody's row for the same words, ``published_gain``
    its difference to the row for the base, ``direction`` of the two in words."""

    experiment: Experiment
    words: str
    difference: float | None
    interval: tuple[float, float] | None
    shown: str
    published: PublishedRow | None
    published_gain: float | None
    direction: str


@dataclass(frozen=True, slots=True)
class Ablation:
    """``changes``: the base first, then every other experiment."""

    base: Experiment
    changes: tuple[Change, ...]
    has_published: bool
    notes: tuple[str, ...]

    def table(self) -> Table:
        columns = ["change", "bpb", "difference", "95 % interval", "bytes", "ms/step", "shown"]
        header = (*columns, "published", "direction") if self.has_published else tuple(columns)
        rows = tuple(_cells(change)[: len(header)] for change in self.changes)
        return Table(f"Differences to {self.base.name}", header, rows, self.notes)


def ablation(
    found: Sequence[Experiment],
    base: Experiment,
    configs: Mapping[str, Mapping[str, Any]],
    published: Sequence[PublishedRow] = (),
) -> Ablation:
    """``base`` first, then every other experiment with what differs, the difference in bits per byte and its interval.

    A difference is Welch's, ``LEAST_SEEDS`` on a side; ``published``: rows of others, as changes from their own base.
    """
    theirs_base = _row_for(base, configs, published)
    changes = [_changed(base, base, configs, theirs_base, theirs_base)]
    for one in found:
        if one is not base:
            changes.append(_changed(one, base, configs, _row_for(one, configs, published), theirs_base))
    tested = sum(change.interval is not None for change in changes)
    notes = [f"lower is better; an interval that holds 0 shows nothing; fewer than {LEAST_SEEDS} seeds show nothing"]
    if tested > 1:
        notes.append(f"of {tested} intervals at 95 % about {0.05 * tested:.1f} miss 0 by chance alone")
    if published:
        sources = sorted({row.source for row in published if row.source})
        notes.append(
            f"published: as claimed, on other texts and machines ({', '.join(sources)}); only directions compare"
        )
    return Ablation(base, tuple(changes), bool(published), tuple(notes))


def ablation_table(
    found: Sequence[Experiment],
    base: Experiment,
    configs: Mapping[str, Mapping[str, Any]],
    published: Sequence[PublishedRow] = (),
) -> Table:
    """``ablation`` as a table."""
    return ablation(found, base, configs, published).table()


def _words(base: Experiment, one: Experiment, configs: Mapping[str, Mapping[str, Any]]) -> str:
    if one is base:
        return "(base) " + base.name
    if base.key not in configs or one.key not in configs:
        return one.name
    changed = differences(configs[base.key], configs[one.key])
    words = " ".join(map(str, changed[:_MOST_WORDS]))
    return words + (f" and {len(changed) - _MOST_WORDS} more" if len(changed) > _MOST_WORDS else "")


def _changed(
    one: Experiment,
    base: Experiment,
    configs: Mapping[str, Mapping[str, Any]],
    theirs: PublishedRow | None,
    theirs_base: PublishedRow | None,
) -> Change:
    mine, why_not = one.bpb, _why_not(one, base)
    difference, interval = None, None
    if one is not base and mine and base.bpb and not why_not.startswith("other text"):
        difference = mine.mean - base.bpb.mean
    shown = "" if one is base else f"not shown: {why_not}" if why_not else ""
    if not why_not and one is not base:
        assert mine is not None and base.bpb is not None
        test = welch(mine, base.bpb)
        if test is None:
            shown = "not shown: no spread"
        else:
            low, high = interval = test.interval()
            shown = "better" if high < 0 else "worse" if low > 0 else "not shown"
    gain, direction = None, ""
    if theirs is not None and theirs_base is not None and theirs is not theirs_base:
        gain = theirs.val_bpb - theirs_base.val_bpb
        if difference is not None and shown in ("better", "worse"):
            direction = "the same" if (gain < 0) == (difference < 0) else "the opposite"
        elif mine and base.bpb and one is not base:
            direction = "ours not shown"
    return Change(one, _words(base, one, configs), difference, interval, shown, theirs, gain, direction)


def _cells(change: Change) -> tuple[str, ...]:
    one, theirs = change.experiment, change.published
    steps = [run.ms_per_step for run in one.counted if run.ms_per_step is not None]
    published = "" if theirs is None else f"{theirs.val_bpb:g}"
    return (
        change.words,
        described(one.bpb) if one.bpb else "-",
        signed(change.difference, 5),
        "{:+.4f} … {:+.4f}".format(*change.interval) if change.interval else "",
        whole(one.worst_bytes),
        number(sum(steps) / len(steps), 1) if steps else "",
        change.shown,
        published if change.published_gain is None else f"{change.published_gain:+.4f}",
        change.direction,
    )


def _why_not(one: Experiment, base: Experiment) -> str:
    if one is base:
        return ""
    if one.bpb is None or base.bpb is None:
        return one.refusal or base.refusal or "no score counts"
    a, b = one.counted[0].scored, base.counted[0].scored
    if (a is None) != (b is None) or (a and b and (a.text != b.text or a.data != b.data)):
        return "other text"
    if min(one.bpb.n, base.bpb.n) < LEAST_SEEDS:
        return f"{min(one.bpb.n, base.bpb.n)} seed{'s' * (min(one.bpb.n, base.bpb.n) != 1)}"
    return ""


def _row_for(
    one: Experiment, configs: Mapping[str, Mapping[str, Any]], published: Sequence[PublishedRow]
) -> PublishedRow | None:
    """The row with the most words that hold for the experiment's config."""
    cfg = configs.get(one.key)
    if cfg is None:
        return None
    fitting = [row for row in published if all(holds(cfg, word) for word in row.words)]
    return max(fitting, key=lambda row: len(row.words), default=None)
