"""The jobs of a sweep as they end: what is left and for how long, what failed, for a person and for the next attempt.

One line of JSON a job in a file that all processes of a sweep write; another, ``sweeps.jsonl`` under the run root,
keeps those of named sweeps, with what failed before it had a folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError

JOURNAL_NAME = "sweeps.jsonl"
FINISHED, KEPT, FAILED = "finished", "kept", "failed"


@dataclass(frozen=True, slots=True)
class JobEnd:
    """``number`` counts from 0; ``words``: those that tell it from the others; ``run``: ``name/seed=1``, empty where it
    was not known; ``outcome``: one of the three words above; ``said``: the score, or the reason of a failure;
    ``seconds``: that this attempt took."""

    number: int
    words: str
    run: str
    status: int
    outcome: str
    said: str
    seconds: float


def append_end(path: Path, end: JobEnd, **more: Any) -> None:
    """Add one line, whole whoever else is writing. Raises RunError where that cannot be."""
    line = json.dumps({**more, **asdict(end)}) + "\n"
    try:
        with open(path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end_byte = file.seek(0, os.SEEK_END)
            file.seek(max(0, end_byte - 1))
            whole = file.read(1) in (b"", b"\n")  # a kill may have left half a line
            file.write(line.encode() if whole else b"\n" + line.encode())
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_ends(path: Path, sweep: str | None = None) -> list[JobEnd]:
    """The lines of ``path``, of one sweep if named; none where there is no file, or half a line. Raises RunError."""
    return list(_ends(lines_of(path), sweep))


def lines_of(path: Path) -> list[str]:
    """Of a file that grows line by line; none where there is no file yet. Raises RunError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error


def _ends(lines: Sequence[str], sweep: str | None) -> Iterator[JobEnd]:
    names = [field.name for field in fields(JobEnd)]
    for line in lines:
        try:
            node = json.loads(line)
            if sweep is None or node["sweep"] == sweep:
                yield JobEnd(**{name: node[name] for name in names})
        except (ValueError, KeyError, TypeError):
            continue


def journal(root: Path, sweep: str, end: JobEnd) -> None:
    """Keep the end of a job of a named sweep for its report. Raises RunError."""
    root.mkdir(parents=True, exist_ok=True)
    date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    append_end(root / JOURNAL_NAME, end, sweep=sweep, date=date, process=os.getpid())


def heading(number: int, total: int, ends: Sequence[JobEnd], at_a_time: int, words: str) -> str:
    """``job 4 of 15, about 23 min left: seed=1``; how long is judged by the jobs that ran to their end here."""
    took = [end.seconds for end in ends if end.outcome == FINISHED]
    text = f"job {number + 1} of {total}"
    if took:
        open_jobs = max(1, total - len(ends) - (at_a_time - 1) / 2)  # those beside this one are half done
        text += f", about {_roughly(sum(took) / len(took) * open_jobs / at_a_time)} left"
    return f"{text}: {words}" if words else text


def _roughly(seconds: float) -> str:
    if seconds < 120:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def summary(ends: Sequence[JobEnd]) -> list[str]:
    """What a sweep came to, in a line, and each job that failed in one more."""
    counts = {outcome: sum(end.outcome == outcome for end in ends) for outcome in (FINISHED, KEPT, FAILED)}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    lines = [f"sweep: {len(ends)} jobs: {told}"]
    for end in ends:
        if end.outcome == FAILED:
            lines.append(f"  failed: job {end.number + 1}, {end.words or 'as given'}: {end.said}")
    return lines
