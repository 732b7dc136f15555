"""Files that others published, of whatever kind, as entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pgolf.core.errors import RunError
from pgolf.report.entry import ReportedRun
from pgolf.report.gather import Problem
from pgolf.report.published_log import read_log
from pgolf.report.published_table import read_table

TABLE_ENDINGS = (".csv", ".tsv")
LOG_ENDINGS = (".log", ".txt")


@dataclass(slots=True)
class Imported:
    """``logs`` are runs of records, ``rows`` one-off experiments of tables."""

    logs: list[ReportedRun] = field(default_factory=list)
    rows: list[ReportedRun] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def imported(paths: Iterable[Path]) -> Imported:
    """Every file; of a folder its logs. What cannot be read is named. Raises RunError for a path that is not there."""
    found = Imported()
    for path in paths:
        if not path.exists():
            raise RunError(f"--import-log: {path}: there is nothing here")
        for file in files_of(path):
            try:
                if file.suffix.lower() in TABLE_ENDINGS:
                    found.rows += read_table(file)
                else:
                    found.logs.append(read_log(file))
            except RunError as error:
                found.problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
        if path.is_dir() and not files_of(path):
            found.problems.append(Problem(path, f"no {' or '.join(LOG_ENDINGS)} in it"))
    return found


def files_of(path: Path) -> list[Path]:
    """The path itself, or the logs in the folder, by name."""
    if not path.is_dir():
        return [path]
    return sorted(
        file for file in path.iterdir() if file.suffix.lower() in LOG_ENDINGS and file.name != "requirements.txt"
    )
