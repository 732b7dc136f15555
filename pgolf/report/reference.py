"""What ``--against`` names: runs, the folder of a record, published logs, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pgolf.core.command import home
from pgolf.core.errors import RunError
from pgolf.report.against import Reference, reference_of
from pgolf.report.experiments import Experiment, experiments
from pgolf.report.gather import Problem, gather, run_folders
from pgolf.report.imports import imported
from pgolf.report.statistics import Sample
from pgolf.report.submission import SUBMISSION_NAME, read_claim


def read_reference(word: str, which: str = "final") -> list[Reference]:
    """Raises RunError where there is nothing to compare with."""
    path = home(word)
    if not path.exists():
        return [Reference(f"{word} bits per byte", Sample(1, _number(word), None), exact=True)]
    submission = path if path.name == SUBMISSION_NAME else path / SUBMISSION_NAME
    if submission.is_file():
        return [read_claim(submission)]
    if path.is_file() or not any(run_folders(path)):
        return _of_logs(path)
    return _of_runs(path, which)


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise RunError(f"--against: {word!r} is neither a path that is there nor a number of bits per byte")
    return value


def _of_runs(path: Path, which: str) -> list[Reference]:
    found = gather([path], which)
    return _counting(path, experiments(found.entries), found.problems)


def _of_logs(path: Path) -> list[Reference]:
    found = imported([path])
    return _counting(path, experiments(found.logs), found.problems)


def _counting(path: Path, made: Sequence[Experiment], problems: Sequence[Problem]) -> list[Reference]:
    references = [reference for one in made if (reference := reference_of(one, one.name)) is not None]
    if not references:
        why = [one.refusal for one in made if one.refusal] + [
            run.excluded for one in made for run in one.runs if run.excluded
        ]
        why += [problem.reason for problem in problems]
        raise RunError(f"--against: {path}: nothing in it counts: {'; '.join(dict.fromkeys(why)) or 'no run'}")
    return references
