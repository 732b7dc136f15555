"""Run folders under some paths, as entries; whatever looks like a run and cannot be read is named, never left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.config.chosen import data_label
from pgolf.config.saved import read_saved
from pgolf.core.errors import RunError
from pgolf.report.entry import ReportedRun, entry_of
from pgolf.report.submission import SUBMISSION_NAME
from pgolf.track.folder import ASIDE
from pgolf.track.lock import LOCK_NAME
from pgolf.track.result import RESULT_NAME, read_result

CONFIG_NAME = "config.yaml"
_MARKS = (RESULT_NAME, CONFIG_NAME, "overrides", "metrics.jsonl", "train.log", LOCK_NAME)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something at ``path`` that should have been a run."""

    path: Path
    reason: str


@dataclass(slots=True)
class Gathered:
    """``entries`` in the order in which they were found; ``configs`` by the entries' key, where one could be read."""

    entries: list[ReportedRun] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def gather(paths: Iterable[Path], which: str = "final") -> Gathered:
    """All runs in and below ``paths``, each once. Raises RunError for a path that is not there."""
    found, seen = Gathered(), set[str]()
    for path in paths:
        if not path.exists():
            raise RunError(f"{path}: there is nothing here")
        folders = list(run_folders(path))
        if not folders:
            found.problems.append(Problem(path, "no run in it or below it"))
        for folder in folders:
            place = os.path.realpath(folder)
            if place not in seen:
                seen.add(place)
                _read(folder, which, found)
    return found


def run_folders(path: Path) -> Iterator[Path]:
    """The run folders at or below ``path``, by name; those that hold nothing yet too."""
    if path.name == RESULT_NAME or path.is_file():
        yield path.parent if path.name == RESULT_NAME else path
        return
    pending = [path]
    while pending:
        folder = pending.pop()
        try:
            names = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder  # reading it says why
            continue
        if folder.name.startswith("seed=") or any(entry.name in _MARKS for entry in names):
            yield folder
            continue
        below = [entry for entry in names if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)]
        pending += [Path(entry.path) for entry in reversed(below)]


def _read(folder: Path, which: str, found: Gathered) -> None:
    try:
        result = result_of(folder)
        entry = entry_of(folder, result, "", which)
    except RunError as error:
        found.problems.append(Problem(folder, _after(folder, error)))
        return
    data = _data_of(folder, entry.key, found)
    if entry.scored is not None:
        entry = replace(entry, scored=replace(entry.scored, data=data))
    expected = f"seed={entry.seed}" + ("" if entry.rerun == 1 else f".r{entry.rerun}")
    if folder.name.startswith("seed=") and folder.name != expected:
        entry = entry.without(
            f"its result is that of {expected}: a folder that was renamed, or a result that was copied"
        )
    found.entries.append(entry)
    aside = sorted(below.name for below in folder.glob(f"{ASIDE}*"))
    if aside:
        found.problems.append(Problem(folder, f"earlier attempts that did not end: {', '.join(aside)}"))


def _data_of(folder: Path, key: str, found: Gathered) -> str:
    """What the run's config says that its text is, by its node; "" where it cannot be read, which is named."""
    from pgolf.config.compose import conf_dir

    if key not in found.configs:
        try:
            found.configs[key] = read_saved(folder / CONFIG_NAME)
        except RunError as error:
            found.problems.append(Problem(folder, f"its data is not known: {_after(folder / CONFIG_NAME, error)}"))
            return ""
    return data_label(found.configs[key], conf_dir())


def result_of(folder: Path) -> dict[str, Any]:
    """Raises RunError, in words of what stands in the folder."""
    if folder.is_file():
        raise RunError(f"{folder}: a file, not a run folder; published logs are read with --import-log")
    if not (folder / RESULT_NAME).exists():
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise RunError(f"{folder}: cannot be read: {error.strerror or error}") from error
        if SUBMISSION_NAME in names:
            raise RunError(f"{folder}: a record, not a run: compare with it by --against, judge it by pgolf verify")
        inside = [name for name in names if name != LOCK_NAME and not name.startswith(ASIDE)]
        if not inside:
            raise RunError(f"{folder}: empty: the run has not begun, or was set aside")
        raise RunError(f"{folder}: without a result: still running, or ended before it could write one")
    return read_result(folder)


def _after(path: Path, error: RunError) -> str:
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{path / RESULT_NAME}: ")
