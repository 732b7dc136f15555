"""What a sweep over finished runs has measured on each: one line of JSON a job, in ``<run>/sweeps/<name>.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import RunError
from pgolf.core.jobs import lines_of
from pgolf.track.jsonable import to_plain

FOLDER = "sweeps"


@dataclass(frozen=True, slots=True)
class Measured:
    """One job on one run. ``words``: the job's and those beside it. ``weights``: the SHA-256 of what was measured;
    ``score``: as in result.json, of dev;
    ``bytes_total``: of the artifact and its code, where it was packed anew."""

    words: tuple[str, ...]
    weights: str
    tokens: int | None
    score: Mapping[str, Any]
    bytes_total: int | None
    seconds: float

    @property
    def identity(self) -> tuple[tuple[str, ...], str, int | None]:
        """What must be equal for the measurement to be the same one."""
        return self.words, self.weights, self.tokens


def place_of(run: Path, sweep: str) -> Path:
    return run / FOLDER / f"{sweep}.jsonl"


def read_measured(path: Path) -> list[Measured]:
    """Of a file; none where there is no file. A line that is none is left out. Raises RunError."""
    return list(_measured(lines_of(path)))


def _measured(lines: Sequence[str]) -> Iterator[Measured]:
    names = [field.name for field in fields(Measured)]
    for line in lines:
        try:
            node = json.loads(line)
            one = Measured(**{name: node[name] for name in names} | {"words": tuple(node["words"])})
            float(one.score["val_bpb"])
        except (ValueError, KeyError, TypeError):
            continue
        yield one


def add_measured(path: Path, found: Sequence[Measured]) -> None:
    """Add to a file, in one step. Raises RunError."""
    kept = {one.identity: one for one in (*read_measured(path), *found)}
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{path.parent}: cannot be made: {error.strerror or error}") from error
    write_text_atomic(path, "".join(json.dumps(to_plain(asdict(one))) + "\n" for one in kept.values()))
