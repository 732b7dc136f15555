"""The table of one experiment's seeds, and that of all scores that do not count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pgolf.report.entry import ReportedRun
from pgolf.report.experiments import Experiment
from pgolf.report.gather import Problem
from pgolf.report.statistics import Sample
from pgolf.report.table import Table, number, whole

HEADER = (
    *("seed", "steps", "ms/step", "before quant.", "after", "bpb", "nats/token", "bytes", "train s", "eval s"),
    "certificate",
)


def seed_table(experiment: Experiment) -> Table:
    """One row a run that counts, then mean, standard deviation and the worst; the runs that do not count are named."""
    counted = experiment.counted
    rows = [_row(run) for run in counted]
    if counted and not experiment.refusal:
        rows += [_mean_row(counted, experiment), _deviation_row(experiment), _worst_row(counted)]
    seeds = len(experiment.seeds)
    notes = [_disclosure(experiment)]
    if experiment.refusal:
        notes.append(experiment.refusal)
    elif seeds == 1:
        notes.append("one seed: no standard deviation, nothing is shown by a difference to it")
    scored = next((run.scored for run in counted if run.scored), None)
    if scored is not None and not experiment.refusal:
        notes.append(f"scored on {scored}, {scored.method}" + ("" if scored.split == "val" else "; not certified"))
    closed_in = sorted({run.isolation for run in counted if run.isolation})
    if closed_in:
        notes.append(f"certified processes were kept apart by {'; '.join(closed_in)}")
    return Table(experiment.name, HEADER, tuple(rows), (*notes, *experiment.remarks))


def _disclosure(experiment: Experiment) -> str:
    out = [run for run in experiment.runs if run.excluded]
    what = "claimed, not proved here" if experiment.claimed else "counted"
    text = f"{len(experiment.runs)} run{'s' * (len(experiment.runs) != 1)} in all, {len(experiment.counted)} {what}"
    return text + (f"; not counted: {', '.join(run.label for run in out)} (below)" if out else "")


def _row(run: ReportedRun) -> tuple[str, ...]:
    return (
        "-" if run.seed is None else str(run.seed) + ("" if run.rerun == 1 else f".r{run.rerun}"),
        whole(run.steps),
        number(run.ms_per_step, 1),
        number(run.prequant_bpb, 4),
        number(run.quantized_bpb, 4),
        number(run.val_bpb, 6),
        number(run.val_loss, 6),
        whole(run.bytes_total),
        number(run.train_seconds, 1),
        number(run.eval_seconds, 1),
        run.certificate or ("claimed" if run.claimed else "none"),
    )


def _mean_row(runs: Sequence[ReportedRun], experiment: Experiment) -> tuple[str, ...]:
    def mean(values: Iterable[float | None], digits: int) -> str:
        known = list(values)
        present = [value for value in known if value is not None]
        return number(math.fsum(present) / len(present), digits) if len(present) == len(known) else ""

    return (
        "mean",
        mean((run.steps for run in runs), 0),
        mean((run.ms_per_step for run in runs), 1),
        mean((run.prequant_bpb for run in runs), 4),
        mean((run.quantized_bpb for run in runs), 4),
        number(experiment.bpb.mean if experiment.bpb else None, 6),
        number(experiment.loss.mean if experiment.loss else None, 6),
        mean((run.bytes_total for run in runs), 0),
        mean((run.train_seconds for run in runs), 1),
        mean((run.eval_seconds for run in runs), 1),
        "",
    )


def _deviation_row(experiment: Experiment) -> tuple[str, ...]:
    row = [""] * len(HEADER)
    row[0] = "std, n−1"
    row[5] = _std(experiment.bpb)
    row[6] = _std(experiment.loss)
    return tuple(row)


def _std(sample: Sample | None) -> str:
    return number(sample.std, 6) if sample else ""


def _worst_row(runs: Sequence[ReportedRun]) -> tuple[str, ...]:
    def worst(values: Iterable[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    row = [""] * len(HEADER)
    row[0] = "worst"
    row[5], row[6] = number(worst(run.val_bpb for run in runs), 6), number(worst(run.val_loss for run in runs), 6)
    row[7] = whole(worst(run.bytes_total for run in runs))
    row[8], row[9] = number(worst(r.train_seconds for r in runs), 1), number(worst(r.eval_seconds for r in runs), 1)
    return tuple(row)


def row_table(rows: Sequence[ReportedRun]) -> Table:
    """Experiments that others kept one row each of, in the columns of ``seed_table``."""
    counted = [run for run in rows if not run.excluded]
    cells = [(run.name, *_row(run)[1:]) for run in counted]
    sources = sorted({str(run.source).rpartition(":")[0] for run in rows})
    notes = [f"{len(rows)} rows in all, {len(counted)} claimed with a number and within the cap; one run each"]
    notes += [f"{run.name}: {note}" for run in rows for note in run.notes]
    return Table(", ".join(sources), ("run", *HEADER[1:]), tuple(cells), tuple(notes))


def not_counted(runs: Iterable[ReportedRun], problems: Iterable[Problem]) -> Table | None:
    """Every score that does not count, what it claims and what its rows sum to, and every folder that is no run."""
    rows = [
        (
            str(run.source),
            run.name if run.seed is None else run.label,
            number(run.val_bpb, 4),
            number(run.sum_p_mean, 3),
            number(run.sum_p_max, 2),
            number(run.renormalised_bpb, 4),
            whole(run.bytes_total),
            run.excluded,
        )
        for run in runs
        if run.excluded
    ]
    rows += [(str(problem.path), "", "", "", "", "", "", problem.reason) for problem in problems]
    if not rows:
        return None
    header = ("not counted", "", "claimed bpb", "mean Σp", "most Σp", "renormalised", "bytes", "because")
    return Table("What is not counted, and why", header, tuple(rows))
