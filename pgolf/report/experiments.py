"""Runs by experiment and seed: whose scores are averaged, and why others are not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pgolf.report.entry import ReportedRun
from pgolf.report.statistics import Sample

# Bits per byte of one token: two scores of one vocabulary and text have the same quotient, to the digits of a log.
_SAME_QUOTIENT = 1e-4


@dataclass(frozen=True, slots=True)
class Experiment:
    """Runs of one config. ``runs``: all of them, those that do not count too. ``refusal``: why there is no mean of
    those that do. ``remarks``: what a reader must know of the whole."""

    name: str
    key: str
    runs: tuple[ReportedRun, ...]
    refusal: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[ReportedRun, ...]:
        return tuple(run for run in self.runs if not run.excluded)

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Of the runs that count, each once."""
        return tuple(dict.fromkeys(run.seed for run in self.counted))

    @property
    def bpb(self) -> Sample | None:
        """Bits per byte over the seeds; None where nothing counts, or may be averaged."""
        return self._sample([(run.seed, run.val_bpb) for run in self.counted])

    @property
    def loss(self) -> Sample | None:
        """Nats per token over the seeds; None also where a run does not state them."""
        return self._sample([(run.seed, run.val_loss) for run in self.counted])

    def _sample(self, pairs: Sequence[tuple[int | None, float | None]]) -> Sample | None:
        if self.refusal or not pairs or any(value is None for _, value in pairs):
            return None
        by_seed: dict[int | None, list[float]] = {}
        for seed, value in pairs:
            assert value is not None
            by_seed.setdefault(seed, []).append(value)
        return Sample.of([math.fsum(values) / len(values) for values in by_seed.values()])

    @property
    def worst_bytes(self) -> int | None:
        """The largest submission of the runs that count."""
        return max((run.bytes_total for run in self.counted if run.bytes_total is not None), default=None)

    @property
    def claimed(self) -> bool:
        return any(run.claimed for run in self.runs)


def experiments(entries: Iterable[ReportedRun], expected: Sequence[int] = ()) -> list[Experiment]:
    """Entries by config, each group by seed; groups in the order of their first entry.

    ``expected``: seeds that each experiment should have. Of one seed, the mean of its runs counts as one score: nobody
    chose between them. A copy of a run counts once, whatever seed it says.
    """
    by_config: dict[tuple[str, str], list[ReportedRun]] = {}
    for entry in entries:
        by_config.setdefault((entry.name, entry.key), []).append(entry)
    names = [name for name, _ in by_config]
    made = []
    for (name, key), found in by_config.items():
        runs = _without_copies(
            sorted(found, key=lambda run: (run.seed is None, run.seed or 0, run.rerun, str(run.source)))
        )
        remarks = list(_remarks(runs))
        if names.count(name) > 1:
            which = f"is {key}" if found[0].claimed else f"has the hash {key[:12]}…"
            remarks.append(f"{names.count(name)} configs have this name; this one {which}")
        made.append(Experiment(name, key, tuple(runs), _refusal(runs), tuple(remarks)))
    wanted = set(expected) or _usual_seeds(made)
    return [replace(one, remarks=(*one.remarks, *_missing(one, wanted))) for one in made]


def _without_copies(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """One artifact is no two trainings, and a rerun of the same seed may come to the same one."""
    kept: dict[tuple[object, ...], ReportedRun] = {}
    trained: dict[str, ReportedRun] = {}
    found = []
    for run in runs:
        if run.sha256 and not run.excluded:
            same = run.seed, run.rerun, run.sha256, run.val_bpb, run.val_loss
            first, other = kept.setdefault(same, run), trained.setdefault(run.sha256, run)
            if first is not run:
                run = run.without(f"a copy of {first.source}")
            elif other.seed != run.seed:
                run = run.without(f"its artifact is that of {other.label}: a copy, whatever its seed is said to be")
        found.append(run)
    return found


def _refusal(runs: Sequence[ReportedRun]) -> str:
    """Why the scores that count are not of one kind, so that their mean would be that of nothing."""
    counted = [run for run in runs if not run.excluded]
    kinds: dict[object, list[ReportedRun]] = {}
    for run in counted:
        kinds.setdefault(run.scored, []).append(run)
    if len(kinds) > 1:
        told = "; ".join(f"{_named(members)} on {kind}" for kind, members in kinds.items())
        return f"not averaged, these were not scored on the same: {told}"
    quotients = [run.val_loss / run.val_bpb for run in counted if run.claimed and run.val_loss and run.val_bpb]
    if quotients and max(quotients) > min(quotients) * (1 + _SAME_QUOTIENT):
        return (
            "not averaged: nats per token and bits per byte stand in different proportions: other texts or vocabularies"
        )
    return ""


def _named(runs: Sequence[ReportedRun]) -> str:
    return ", ".join(run.label for run in runs)


def _remarks(runs: Sequence[ReportedRun]) -> Iterable[str]:
    for seed, same in groupby((run for run in runs if not run.excluded), key=lambda run: run.seed):
        several = list(same)
        if len(several) > 1 and seed is not None:
            where = ", ".join(str(run.source) for run in several)
            yield f"{len(several)} runs claim seed {seed}; their mean counts as one score: {where}"
    for run in runs:
        for note in run.notes:
            yield f"{run.label}: {note}"


def _usual_seeds(found: Sequence[Experiment]) -> set[int]:
    """Those that most of what is compared has."""
    ours = [set(one.seeds) for one in found if not one.claimed]
    times = Counter(seed for seeds in ours for seed in seeds if seed is not None)
    return {seed for seed, count in times.items() if 2 * count > len(ours)}


def _missing(one: Experiment, wanted: set[int]) -> Iterable[str]:
    """Seeds that were wanted, and that do not count here."""
    missing = sorted(wanted - set(one.seeds)) if not one.claimed else []
    if missing:
        yield f"missing: seed {', '.join(map(str, missing))}"
