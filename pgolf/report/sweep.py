"""A sweep's report: the runs of its grid by arm and seed, what is missing or failed, differences, and others' numbers.

An arm is what the words of a job say beside the seed. Where an arm and the base have the same seeds, differences are
taken seed by seed, which takes the seed's part out of them: mean d̄ ± t·s_d/√n, n − 1 degrees of freedom; Welch's
interval, which does not, stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.config.naming import config_hash, run_name
from pgolf.config.sweep_file import PublishedValue, SweepFile
from pgolf.core.errors import RunError, UserError
from pgolf.core.jobs import FAILED, JOURNAL_NAME, read_ends
from pgolf.report.ablation import PublishedRow, base_of
from pgolf.report.against import LEAST_SEEDS
from pgolf.report.entry import ReportedRun
from pgolf.report.experiments import experiments
from pgolf.report.gather import Gathered, Problem, gather, run_folders
from pgolf.report.page import Report, report
from pgolf.report.statistics import Sample, one_sample, welch
from pgolf.report.table import Table, number, signed, whole
from pgolf.track.measured import Measured, place_of, read_measured
from pgolf.track.result import read_result

SEED = "seed="


@dataclass(frozen=True, slots=True)
class Point:
    """One job's score in bits per byte and what stands beside it; None is not known. ``claimed`` and ``sum_p_mean``:
    where rows need not sum to one, and ``bpb`` is what is left when they are divided by their sums."""

    seed: int
    bpb: float
    claimed: float | None = None
    sum_p_mean: float | None = None
    bytes_total: int | None = None
    ms_per_step: float | None = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """A job without a score: ``missing``, ``failed``, ``unfinished`` or ``not counted``, and why."""

    words: str
    seed: int | None
    what: str
    why: str

    @property
    def label(self) -> str:
        return f"{self.words or 'as it is'}" + ("" if self.seed is None else f", seed {self.seed}")


@dataclass(frozen=True, slots=True)
class Paired:
    """Differences of two arms seed by seed, in bits per byte; ``interval`` at 95 %, None where nothing spreads."""

    by_seed: Mapping[int, float]
    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Arm:
    """``words``: what tells it from the other arms; ``points`` by seed. ``paired`` and ``welch`` are to the base, None
    for the base itself and where there is nothing to compare. ``shown``: better, worse, or not shown and why."""

    words: str
    points: tuple[Point, ...]
    paired: Paired | None = None
    welch: tuple[float, float] | None = None
    shown: str = ""
    published: tuple[PublishedValue, ...] = ()

    @property
    def sample(self) -> Sample | None:
        return Sample.of([point.bpb for point in self.points]) if self.points else None

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(point.seed for point in self.points)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """``arms`` in the grid's order; ``base`` is the index of the one that the others are compared with, None where it
    has no score. ``jobs``: of the whole grid; ``gathered``: the runs that are a part of it, where it trains."""

    file: SweepFile
    arms: tuple[Arm, ...]
    base: int | None
    unseen: tuple[Unseen, ...]
    jobs: int
    notes: tuple[str, ...] = ()
    gathered: Gathered | None = None

    def of_runs(self) -> Report:
        """The same runs as a report of experiments, for a page; none for a sweep over finished runs."""
        if self.gathered is None:
            return report([], [], [], {})
        found = experiments(self.gathered.entries)
        base = " ".join(self.file.base)
        try:
            base_of(found, self.gathered.configs, base)
        except (RunError, IndexError):  # there is none yet
            base = ""
        rows = [
            PublishedRow(row.words, row.value, row.source)
            for row in self.file.published
            if row.unit == "bpb" and row.words
        ]
        return report(
            found,
            [],
            [Problem(Path(one.label), f"{one.what}: {one.why}") for one in self.unseen],
            self.gathered.configs,
            base=base,
            rows_of_others=rows,
        )

    @property
    def claims(self) -> bool:
        """Whether some rows need not sum to one."""
        return any(point.claimed is not None for arm in self.arms for point in arm.points)

    def tables(self) -> Iterator[Table]:
        yield _table(self)
        if self.unseen:
            rows = tuple(
                (one.words or "as it is", "" if one.seed is None else str(one.seed), one.what, one.why)
                for one in self.unseen
            )
            yield Table("Jobs without a score", ("job", "seed", "", "because"), rows)
        if self.file.published:
            cells = tuple((row.label, f"{row.value:g}", row.unit, row.source) for row in self.file.published)
            note = "as claimed, on other texts, sizes and machines; only directions compare"
            yield Table("Published", ("of others", "value", "unit", "source"), cells, (note,))


def sweep_report(file: SweepFile, paths: Sequence[Path]) -> SweepReport:
    """What the runs in and below ``paths`` have come to of the grid. Raises RunError for a path that is not there."""
    found = gather(paths, file.score) if file.by == "train" else Gathered()
    if file.by == "train":
        points, unseen, notes, part = _of_runs(file, found, paths)
        return replace(_compared(file, points, unseen, notes), gathered=part)
    return _compared(file, *_measured(file, paths))


@dataclass(slots=True)
class _Arms:
    """Points by the arm's words, in the grid's order, and what is not there."""

    points: dict[str, dict[int, list[Point]]] = field(default_factory=dict)

    def add(self, words: str, point: Point | None) -> None:
        arm = self.points.setdefault(words, {})
        if point is not None:
            arm.setdefault(point.seed, []).append(point)


def _arm_words(file: SweepFile, job: Sequence[str]) -> str:
    return " ".join(word for word in file.label(job).split() if not word.startswith(SEED))


def _of_runs(
    file: SweepFile, found: Gathered, paths: Sequence[Path]
) -> tuple[dict[str, dict[int, list[Point]]], list[Unseen], list[str], Gathered]:
    by_run: dict[tuple[str, int | None], list[ReportedRun]] = {}
    for entry in found.entries:
        by_run.setdefault((entry.key, entry.seed), []).append(entry)
    broken = {str(problem.path): problem.reason for problem in found.problems}
    ends = {
        end.run: end
        for path in paths
        for end in read_ends((path if path.is_dir() else path.parent) / JOURNAL_NAME, file.name)
    }
    arms, unseen, known = _Arms(), list[Unseen](), dict[str, dict[str, Any] | UserError]()
    part = Gathered(configs=found.configs)
    for job in file.jobs:
        words = _arm_words(file, job)
        seedless = tuple(word for word in job if not word.startswith(SEED))
        seed = next((int(word[len(SEED) :]) for word in job if word.startswith(SEED)), None)
        if str(seedless) not in known:  # the seed is no part of a name: composed once for all of them
            try:
                known[str(seedless)] = file.settings(seedless)
            except UserError as error:
                known[str(seedless)] = error
        cfg = known[str(seedless)]
        arms.add(words, None)
        if isinstance(cfg, UserError):
            unseen.append(Unseen(words, seed, "failed", str(cfg).splitlines()[0]))
            continue
        seed = int(cfg["seed"]) if seed is None else seed
        name = run_name(cfg, cfg["choices"])
        runs = by_run.get((config_hash(cfg), seed), [])
        part.entries += runs
        for run in runs:
            if not run.excluded and run.val_bpb is not None:
                ms, size = run.ms_per_step, run.bytes_total
                arms.add(words, Point(seed, run.val_bpb, bytes_total=size, ms_per_step=ms))
        if any(not run.excluded for run in runs):
            continue
        end = ends.get(f"{name}/seed={seed}")
        unread = next((why for place, why in broken.items() if place.endswith(f"{name}/seed={seed}")), None)
        if runs:
            unseen.append(Unseen(words, seed, "not counted", runs[0].excluded))
        elif end is not None and end.outcome == FAILED:
            unseen.append(Unseen(words, seed, "failed", end.said))
        elif unread is not None:
            unseen.append(Unseen(words, seed, "unfinished", unread))
        else:
            unseen.append(Unseen(words, seed, "missing", f"no run {name}/seed={seed}"))
    return arms.points, unseen, [], part


def _measured(
    file: SweepFile, paths: Sequence[Path]
) -> tuple[dict[str, dict[int, list[Point]]], list[Unseen], list[str]]:
    arms, unseen, notes = _Arms(), list[Unseen](), list[str]()
    runs: list[tuple[str, int, list[Measured]]] = []
    for folder in dict.fromkeys(run for path in paths for run in run_folders(path)):
        found = read_measured(place_of(folder, file.name))
        if not found:
            continue
        try:
            facts = read_result(folder)["run"]
            runs.append((str(facts["name"]), int(facts["seed"]), found))
        except (RunError, KeyError, TypeError, ValueError) as error:
            notes.append(f"{folder}: measured, but whose weights it has is not known: {error}")
    if not runs:
        notes.append(f"no run there has been measured: pgolf sweep {file.path} RUN …")
    names = list(dict.fromkeys(name for name, _, _ in runs))
    for name in names or [""]:
        for job in file.jobs:
            words = _arm_words(file, job)
            arm = f"{name} {words}" if len(names) > 1 else words
            arms.add(arm, None)
            for run, seed, found in runs:
                if run != name:
                    continue
                mine = [one for one in found if one.words == file.told(job) and one.tokens == file.tokens]
                for one in mine:
                    arms.add(arm, _point(seed, one))
                if not mine:
                    unseen.append(Unseen(arm, seed, "missing", _why_not_measured(file, job, found)))
    return arms.points, unseen, notes


def _why_not_measured(file: SweepFile, job: Sequence[str], found: Sequence[Measured]) -> str:
    """What was measured of the job with other words beside it is named, so that it can be asked for."""
    beside = {one.words[len(job) :] for one in found if one.words[: len(job)] == job and one.tokens == file.tokens}
    told = sorted(" ".join(f"-w {word}" for word in words) or "no -w" for words in beside)
    return f"measured only with {', or with '.join(told)}" if told else "not measured"


def _point(seed: int, one: Measured) -> Point:
    score = one.score
    sums = score.get("sum_p_mean")
    whole_rows = sums is None or math.isclose(sums, 1.0, abs_tol=1e-3)
    return Point(
        seed,
        float(score["val_bpb"] if whole_rows else score["renormalised_bpb"]),
        None if whole_rows else float(score["claimed_bpb"]),
        None if whole_rows or sums is None else float(sums),
        one.bytes_total,
    )


def _compared(
    file: SweepFile,
    points: Mapping[str, Mapping[int, Sequence[Point]]],
    unseen: Sequence[Unseen],
    notes: Sequence[str],
) -> SweepReport:
    arms = [Arm(words, tuple(_one(several) for _, several in sorted(by.items()))) for words, by in points.items()]
    base = _base(file, arms)
    made = [
        _against(arm, arms[base] if base is not None else None, _rows(file, arm.words), index == base)
        for index, arm in enumerate(arms)
    ]
    remarks = list(notes)
    for words, by in points.items():
        several = [seed for seed, found in by.items() if len(found) > 1]
        if several:
            remarks.append(
                f"{words or 'as it is'}: several runs of seed {', '.join(map(str, several))}; their mean counts"
            )
    if base is not None:
        remarks.append(f"differences are to {arms[base].words or 'as it is'}; lower is better")
        tested = sum(arm.paired is not None for arm in made)
        if tested > 1:
            remarks.append(f"of {tested} intervals at 95 % about {0.05 * tested:.1f} miss 0 by chance alone")
    return SweepReport(file, tuple(made), base, tuple(unseen), len(file.jobs), tuple(remarks))


def _one(several: Sequence[Point]) -> Point:
    """Of one seed's runs one point, their mean: nobody chose between them."""
    first = several[0]
    if len(several) == 1:
        return first
    return Point(
        first.seed,
        math.fsum(point.bpb for point in several) / len(several),
        first.claimed,
        first.sum_p_mean,
        max((point.bytes_total for point in several if point.bytes_total is not None), default=None),
        first.ms_per_step,
    )


def _base(file: SweepFile, arms: Sequence[Arm]) -> int | None:
    """The arm that all words of the study's base are in; the first where none is named."""
    fitting = [i for i, arm in enumerate(arms) if set(file.base) <= set(arm.words.split())] if file.base else [0]
    return next((i for i in fitting if arms[i].points), None)


def _rows(file: SweepFile, words: str) -> tuple[PublishedValue, ...]:
    return tuple(row for row in file.published if row.words and set(row.words) <= set(words.split()))


def _against(arm: Arm, base: Arm | None, rows: tuple[PublishedValue, ...], is_base: bool) -> Arm:
    if is_base or base is None or not arm.points:
        shown = "" if is_base else "not shown: no score" if not arm.points else "not shown: the base has no score"
        return Arm(arm.words, arm.points, shown=shown, published=rows)
    theirs = {point.seed: point.bpb for point in base.points}
    by_seed = {point.seed: point.bpb - theirs[point.seed] for point in arm.points if point.seed in theirs}
    paired = None
    if by_seed:
        sample = Sample.of(list(by_seed.values()))
        test = one_sample(sample, 0.0) if sample.n > 1 else None
        paired = Paired(by_seed, sample.mean, test.interval() if test else None)
    mine, other = arm.sample, base.sample
    assert mine is not None and other is not None
    both = welch(mine, other) if min(mine.n, other.n) > 1 else None
    return Arm(arm.words, arm.points, paired, both.interval() if both else None, _shown(paired), rows)


def _shown(paired: Paired | None) -> str:
    count = len(paired.by_seed) if paired else 0
    if paired is None or count < LEAST_SEEDS:
        return f"not shown: {count} seed{'s' * (count != 1)} in common"
    if paired.interval is None:
        return "not shown: no spread"
    low, high = paired.interval
    return "better" if high < 0 else "worse" if low > 0 else "not shown"


def _table(report: SweepReport) -> Table:
    claims = report.claims
    sizes = any(point.bytes_total is not None for arm in report.arms for point in arm.points)
    times = any(point.ms_per_step is not None for arm in report.arms for point in arm.points)
    header = ["", "bpb", "±", "n", *(["claimed", "mean Σp"] if claims else [])]
    header += ["difference, paired", "95 % interval", "Welch's", "shown"]
    header += [*(["bytes"] if sizes else []), *(["ms/step"] if times else []), "published"]
    rows = []
    for index, arm in enumerate(report.arms):
        sample, paired = arm.sample, arm.paired
        row = [
            ("(base) " if index == report.base else "") + (arm.words or "as it is"),
            number(sample.mean, 4) if sample else "-",
            number(sample.std, 4) if sample else "",
            str(sample.n) if sample else "0",
        ]
        if claims:
            row += [_mean([p.claimed for p in arm.points], 4), _mean([p.sum_p_mean for p in arm.points], 3)]
        row += [
            signed(paired.mean, 4) if paired else "",
            "{:+.4f} … {:+.4f}".format(*paired.interval) if paired and paired.interval else "",
            "{:+.4f} … {:+.4f}".format(*arm.welch) if arm.welch else "",
            arm.shown,
        ]
        if sizes:
            row.append(whole(max((p.bytes_total for p in arm.points if p.bytes_total is not None), default=None)))
        if times:
            row.append(_mean([p.ms_per_step for p in arm.points], 1))
        row.append(_published(arm, report.arms[report.base] if report.base is not None else None))
        rows.append(tuple(row))
    done = sum(len(arm.points) for arm in report.arms)
    about = [f"answer: {report.file.heads['Answer']}"] if report.file.heads.get("Answer") else []
    about.append(f"{report.file.score if report.file.by == 'train' else 'dev'} score; {report.jobs} jobs in the grid")
    about[-1] += f", {done} scores, {len(report.unseen)} without one" + (" (below)" if report.unseen else "")
    title = f"{report.file.name}: {report.file.heads.get('Question') or 'no question stated'}"
    return Table(title, tuple(header), tuple(rows), (*about, *report.notes))


def _published(arm: Arm, base: Arm | None) -> str:
    """Others' numbers of the same, and whether their change from their base, in one source, goes the way ours does."""
    values = "; ".join(f"{one.value:g}" for one in arm.published)
    if base is None or base is arm:
        return values
    gains = [
        mine.value - other.value
        for mine in arm.published
        for other in base.published
        if (mine.source, mine.unit) == (other.source, other.unit)
    ]
    if not gains or arm.paired is None:
        return values
    if arm.shown not in ("better", "worse"):
        return f"{values} ({gains[0]:+.4g}; ours not shown)"
    same = (gains[0] < 0) == (arm.paired.mean < 0)
    return f"{values} ({gains[0]:+.4g}, {'the same' if same else 'the opposite'} direction)"


def _mean(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return number(math.fsum(known) / len(known), digits) if known else ""
