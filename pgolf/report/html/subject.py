"""What a page is about: a run with all that its folder holds, or a report with the runs in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.config.saved import holds, read_saved
from pgolf.core.errors import RunError
from pgolf.report.entry import Fields, ReportedRun
from pgolf.report.evidence import CertificateEvidence, evidence_of
from pgolf.report.experiments import Experiment
from pgolf.report.gather import CONFIG_NAME, result_of
from pgolf.report.metrics import Metrics, read_metrics
from pgolf.report.page import Report
from pgolf.report.sweep import Arm, SweepReport


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run. ``result``, ``entry``, ``config``: None where the folder has none that can be read; ``problems`` say
    why, and what else is wrong with it. ``which``: of the scores the one that is reported."""

    folder: Path
    result: Mapping[str, Any] | None
    entry: ReportedRun | None
    config: Mapping[str, Any] | None
    metrics: Metrics
    problems: tuple[str, ...]
    report: Report
    which: str

    @property
    def name(self) -> str:
        return self.entry.name if self.entry else self.folder.resolve().parent.name

    @property
    def label(self) -> str:
        return self.entry.label if self.entry else self.folder.name

    @property
    def fields(self) -> Fields:
        """Of the result. Raises RunError where there is none."""
        if self.result is None:
            raise RunError("the run has no result")
        return Fields(self.folder, self.result)

    def evidence(self) -> CertificateEvidence | None:
        return None if self.result is None else evidence_of(self.folder, self.result)


@dataclass(frozen=True, slots=True)
class SetPage:
    """Several runs: ``runs`` are those whose folders are at hand, by folder. ``names``: what a sweep calls its
    experiments, by their key."""

    report: Report
    runs: Mapping[Path, RunPage]
    which: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        return (*self.report.ours, *self.report.published)

    def label(self, one: Experiment) -> str:
        """What tells an experiment from the others: in what it differs from the base, where there is one."""
        if one.key in self.names:
            return self.names[one.key]
        for change in self.report.ablation.changes if self.report.ablation else ():
            if change.experiment is one:
                return change.words
        return one.name

    def run_label(self, one: Experiment, run: ReportedRun | RunPage) -> str:
        """What tells a run from the others."""
        return run.label if len(self.experiments) == 1 else f"{self.label(one)}, {run.label}"

    def colour(self, one: Experiment) -> int:
        return self.experiments.index(one)

    def pages_of(self, one: Experiment) -> list[RunPage]:
        return [self.runs[run.source] for run in one.runs if run.source in self.runs]


@dataclass(frozen=True, slots=True)
class SweepPage:
    """A sweep's report, and the runs of its own."""

    sweep: SweepReport
    set: SetPage

    def arm_label(self, arm: Arm) -> str:
        is_base = self.sweep.base is not None and arm is self.sweep.arms[self.sweep.base]
        return ("(base) " if is_base else "") + (arm.words or "as it is")


def sweep_page(sweep: SweepReport, report: Report, which: str) -> SweepPage:
    """An experiment is called by the arm whose words hold for its config, the most words where several do."""
    page = SweepPage(sweep, set_page(report, which))
    names = {}
    for key, cfg in report.configs.items():
        fitting = [arm for arm in sweep.arms if all(holds(cfg, word) for word in arm.words.split() if "=" in word)]
        if fitting:
            names[key] = page.arm_label(max(fitting, key=lambda arm: len(arm.words.split())))
    return replace(page, set=replace(page.set, names=names))


def subjects(report: Report, which: str) -> RunPage | SetPage:
    """A run's where the report is about one folder alone, else that of the whole."""
    whole = set_page(report, which)
    outside = [problem for problem in report.problems if problem.path not in whole.runs]
    if len(whole.runs) == 1 and not report.published and not report.rows and not outside:
        return next(iter(whole.runs.values()))
    return whole


def set_page(report: Report, which: str) -> SetPage:
    entries = {run.source: run for one in report.ours for run in one.runs}
    folders = list(dict.fromkeys([*entries, *(p.path for p in report.problems if p.path.is_dir())]))
    return SetPage(report, {folder: _read(folder, entries.get(folder), report, which) for folder in folders}, which)


def _read(folder: Path, entry: ReportedRun | None, report: Report, which: str) -> RunPage:
    problems = [problem.reason for problem in report.problems if problem.path == folder]
    result, config = None, None
    try:
        result = result_of(folder)
    except RunError as error:
        if entry is not None:
            problems.append(str(error))
    try:
        config = read_saved(folder / CONFIG_NAME)
    except RunError as error:
        problems.append(str(error).removeprefix(f"{folder}/"))
    metrics = read_metrics(folder)
    problems += [metrics.problem] if metrics.problem else []
    return RunPage(folder, result, entry, config, metrics, tuple(dict.fromkeys(problems)), report, which)


def fallen(title: str, error: RunError, folder: Path) -> str:
    """What stands in place of a section that could not be made."""
    return f"{title}: {str(error).removeprefix(f'{folder}: ')}"


def seconds_by_stage(page: RunPage) -> list[tuple[str, float]]:
    """The ledger of a run; empty for none. Raises RunError for half a result."""
    fields = page.fields
    ledger = fields.mapping("ledger") or {}
    each = Fields(page.folder, {"ledger": {str(i): value for i, value in enumerate(ledger.values())}})
    found: Sequence[tuple[str, float | None]] = [
        (str(stage), each.number(f"ledger.{i}")) for i, stage in enumerate(ledger)
    ]
    return [(stage, seconds) for stage, seconds in found if seconds is not None and seconds >= 0]
