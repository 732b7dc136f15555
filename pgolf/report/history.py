"""All runs below a folder as rows: filtered, sorted, compared. Ten thousand are read in seconds, without an index.

A row is read from result.json alone; the config of a run is opened only where a filter or a column asks for it, once
for all runs of one hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pgolf.config.saved import Difference, differences, read_choices, read_saved, value_at
from pgolf.core.errors import ConfigError, RunError, did_you_mean
from pgolf.report.entry import Fields, entry_of
from pgolf.report.gather import CONFIG_NAME, result_of, run_folders
from pgolf.report.submission import SUBMISSION_NAME
from pgolf.track.result import RESULT_NAME

_FILTER = re.compile(r"([\w./-]+?)(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)
_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One run folder. ``score`` is the final one, valid or not; ``valid`` whether it counts; ``why`` says why not.
    ``text``: on what it was scored. ``date``: when its result was written, in UTC."""

    path: Path
    name: str = ""
    seed: int | None = None
    rerun: int = 1
    date: str = ""
    status: str = ""
    score: float | None = None
    dev: float | None = None
    valid: bool = False
    why: str = ""
    bytes: int | None = None
    params: int | None = None
    steps: int | None = None
    ms_per_step: float | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    certificate: str = ""
    text: str = ""
    hash: str = ""
    git: str = ""

    @property
    def run(self) -> str:
        """``name/seed=2``, as its folder has it."""
        return f"{self.path.parent.name}/{self.path.name}"


KEYS = (*(field.name for field in fields(HistoryRow)), "run")


class RunHistory:
    """The rows below ``root``, and the configs of those that somebody asked about."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Raises RunError for a folder that is not there."""
        for root in roots:
            if not root.exists():
                raise RunError(f"{root}: there is nothing here; runs are kept under run_root, by default runs/")
        folders = dict.fromkeys(folder for root in roots for folder in run_folders(root))
        self.rows = [read_row(folder) for folder in folders]
        self._choices: dict[str, Mapping[str, Any]] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}

    def value(self, row: HistoryRow, key: str) -> Any:
        """A field of the row, or what its config has at the key; None where there is nothing."""
        if key in KEYS:
            return getattr(row, key)
        try:
            if "." not in key:
                return value_at({"choices": self._choices_of(row)}, key) if key != "arch/addon" else self._at(row, key)
            return self._at(row, key)
        except RunError:
            return None

    def _at(self, row: HistoryRow, key: str) -> str | None:
        return value_at(self.config(row), key)

    def config(self, row: HistoryRow) -> Mapping[str, Any]:
        """The run's saved config. Raises RunError."""
        key = row.hash or str(row.path)
        if key not in self._configs:
            self._configs[key] = read_saved(row.path / CONFIG_NAME)
        return self._configs[key]

    def _choices_of(self, row: HistoryRow) -> Mapping[str, Any]:
        key = row.hash or str(row.path)
        if key not in self._choices:
            self._choices[key] = read_choices(row.path / CONFIG_NAME)
        return self._choices[key]

    def require(self, keys: Iterable[str]) -> None:
        """Raises ConfigError for a key that no run has."""
        for key in keys:
            if self.rows and key not in KEYS and all(self.value(row, key) is None for row in self.rows):
                raise ConfigError(f"{key}: no run here has it.{did_you_mean(key, KEYS)} Fields: {', '.join(KEYS)}")

    def chosen(self, filters: Iterable[str], sort: str = "-date") -> list[HistoryRow]:
        """The rows that pass every filter, sorted; ``-`` before a key is descending. Rows without a value come last.

        Raises ConfigError for a filter that is none, and for a key that no run has.
        """
        tests = [_test(word) for word in filters]
        rows = [row for row in self.rows if all(_passes(self.value(row, key), how, text) for key, how, text in tests)]
        key = sort.lstrip("-")
        self.require([key, *(name for name, _, _ in tests)])
        known = [row for row in rows if self.value(row, key) not in (None, "")]
        known.sort(key=lambda row: _ordered(self.value(row, key)), reverse=sort.startswith("-"))
        return known + [row for row in rows if self.value(row, key) in (None, "")]


def read_row(folder: Path) -> HistoryRow:
    """What can be said of a folder, whole run or not."""
    try:
        result = result_of(folder)
        entry, more = entry_of(folder, result, ""), Fields(folder, result)
        dev = more.number("scores.dev.val_bpb") if more.mapping("scores.dev") else None
        params = more.whole("model.params") if more.mapping("model") else None
        moment = datetime.fromtimestamp((folder / RESULT_NAME).stat().st_mtime, timezone.utc)
    except (RunError, OSError) as error:
        begun = (folder / CONFIG_NAME).exists() and not any(
            (folder / n).exists() for n in (RESULT_NAME, SUBMISSION_NAME)
        )
        why = "" if begun else str(error).removeprefix(f"{folder}: ").removeprefix(f"{folder / RESULT_NAME}: ")
        return HistoryRow(folder, folder.parent.name, status="unfinished" if begun else "unreadable", why=why)
    return HistoryRow(
        path=folder,
        name=entry.name,
        seed=entry.seed,
        rerun=entry.rerun,
        date=moment.strftime("%Y-%m-%d %H:%M:%S"),
        status=str(result["status"]),
        score=entry.val_bpb,
        dev=dev,
        valid=not entry.excluded,
        why=entry.excluded,
        bytes=entry.bytes_total,
        params=params,
        steps=entry.steps,
        ms_per_step=entry.ms_per_step,
        train_seconds=entry.train_seconds,
        eval_seconds=entry.eval_seconds,
        certificate=entry.certificate,
        text=f"{entry.scored.split} {entry.scored.metric} {entry.scored.bytes}" if entry.scored else "",
        hash=entry.key,
        git=str(result["run"].get("git_sha") or "")[:12] + ("+" if result["run"].get("dirty") else ""),
    )


def _test(word: str) -> tuple[str, str, str]:
    match = _FILTER.fullmatch(word)
    if match is None:
        raise ConfigError(f"{word!r}: neither a folder nor a filter such as status=finished, 'score<1.25', name~pr1204")
    return match[1], match[2], match[3]


def is_filter(word: str) -> bool:
    return _FILTER.fullmatch(word) is not None


def _passes(value: Any, how: str, text: str) -> bool:
    if how == "~":
        return text in str(value)
    if value is None:
        return text in ("", "null") if how == "=" else how == "!="
    if isinstance(value, bool):
        value = "true" if value else "false"
    number, wanted = _number(value), _number(text)
    if number is not None and wanted is not None:
        return _TESTS[how](number, wanted)
    return _TESTS[how](str(value), text)


def _ordered(value: Any) -> tuple[int, float, str]:
    number = _number(value)
    return (0, number, "") if number is not None else (1, 0.0, str(value))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class RunChange:
    """Two runs beside each other: what was set otherwise, and what came of it as (what, old, new)."""

    settings: tuple[Difference, ...]
    results: tuple[tuple[str, Any, Any], ...]


_RESULTS = ("score", "dev", "bytes", "params", "steps", "ms_per_step", "train_seconds", "eval_seconds")


def changed(history: RunHistory, old: HistoryRow, new: HistoryRow) -> RunChange:
    """In what ``new`` is another run than ``old``. Raises RunError where a config cannot be read."""
    results = [(name, getattr(old, name), getattr(new, name)) for name in (*_RESULTS, "status", "date", "git")]
    if old.text != new.text:
        results.append(("scored on", old.text, new.text))
    return RunChange(tuple(differences(history.config(old), history.config(new))), tuple(results))


def best(rows: Iterable[HistoryRow]) -> HistoryRow:
    """The lowest score that counts. Raises RunError where none does, or where they are of several texts."""
    valid = [row for row in rows if row.valid and row.score is not None]
    if not valid:
        raise RunError("best: no run here has a final score that counts")
    texts = sorted({row.text for row in valid})
    if len(texts) > 1:
        raise RunError(
            f"best: of several texts, which do not compare; say which: {', '.join(f'text={t!r}' for t in texts)}"
        )
    return min(valid, key=lambda row: (row.score, row.date))


def last(rows: Iterable[HistoryRow]) -> HistoryRow:
    """The one that ended last. Raises RunError where none has ended."""
    ended = [row for row in rows if row.date]
    if not ended:
        raise RunError("last: no run here has ended")
    return max(ended, key=lambda row: row.date)
