"""A sweep as a file: what it asks, its grid, what others found of the same; people read its head, programs the rest.

    # Question:  …        # Command:  …        # Cost:  …        # Answer:  …

``study`` holds what no run reads: ``by``, the command that runs the grid; ``score``, what its report compares;
``base``, the words of the job that the others are compared with; ``published``, numbers of others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pgolf.config.compose import compose, plain, settings
from pgolf.config.content import STEERING
from pgolf.config.space import Axis, space_of
from pgolf.config.sweeping import jobs_of, told_apart
from pgolf.core.errors import ConfigError, did_you_mean

BY = ("train", "compare", "requantize", "search")
SCORES = ("prequant", "dev", "final")
HEADS = ("Question", "Command", "Cost", "Answer")
NOT_RUN = "not run yet"
_STUDY = ("by", "score", "base", "tokens", "trials", "rungs", "factor", "published")
_ROW = ("label", "value", "unit", "source", "words")


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """A number of somebody's table. ``words``: those of our grid that mean the same, if any do."""

    label: str
    value: float
    unit: str
    source: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepFile:
    """``heads``: question, command, cost and answer. ``jobs``: the words of each; ``beside``: words that are no axis.

    ``tokens``: of dev, that a ``compare`` goes over; None: all. Of a search, which has no jobs: its ``space``,
    ``fixed`` words, ``trials``, and the ``rungs`` in training steps and ``factor`` of successive halving, if any.
    """

    path: Path
    heads: Mapping[str, str]
    by: str
    score: str
    base: tuple[str, ...]
    tokens: int | None
    published: tuple[PublishedValue, ...]
    jobs: tuple[tuple[str, ...], ...]
    beside: tuple[str, ...] = ()
    space: tuple[Axis, ...] = ()
    fixed: tuple[str, ...] = ()
    trials: int = 0
    rungs: tuple[int, ...] = ()
    factor: int = 3

    @property
    def name(self) -> str:
        return self.path.stem

    def label(self, job: Sequence[str]) -> str:
        """The words that tell a job from the others."""
        return " ".join(told_apart(self.jobs, job)) or "as it is"

    def told(self, job: Sequence[str]) -> tuple[str, ...]:
        """What a measurement of ``job`` is known by: its words and those beside it that are more than steering."""
        return (*job, *(word for word in self.beside if _root(word) not in (*STEERING, "logger")))

    def settings(self, job: Sequence[str]) -> dict[str, Any]:
        """The finished config of a job, as train.py composes it. Raises ConfigError."""
        return settings(_composed(self.path, [*job, *self.beside]))


def read_sweep(path: Path, words: Sequence[str] = ()) -> SweepFile:
    """The file at ``path``, ``words`` in place of its axes or beside them. Raises ConfigError for what is no sweep."""
    if path.suffix != ".yaml" or not path.is_file():
        raise ConfigError(f"{path}: there is no such sweep file; sweeps are YAML files such as sweeps/seeds.yaml")
    try:
        cfg = _composed(path, ())
        params = plain(cfg.hydra.sweeper).get("params") or {}
        study = OmegaConf.to_container(cfg.study, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    assert isinstance(params, dict) and isinstance(study, dict)
    if cfg.hydra.mode is None or cfg.hydra.mode.name != "MULTIRUN" or not params:
        raise ConfigError(f"{path}: no sweep: hydra.mode: MULTIRUN and hydra.sweeper.params make one")
    problems = list(_problems(study))
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    axes = [word for word in words if word.partition("=")[0] in params]
    grid = {str(key): value for key, value in params.items()}
    searched = study.get("by") == "search"
    space, fixed = space_of(grid, axes) if searched else ([], [])
    jobs = [] if searched else jobs_of(grid, axes)
    return SweepFile(
        path=path,
        heads=_heads(path.read_text(encoding="utf-8")),
        by=study.get("by", "train"),
        score=study.get("score", "dev"),
        base=tuple(str(study.get("base") or "").split()),
        tokens=study.get("tokens"),
        published=tuple(_row(row) for row in study.get("published") or ()),
        jobs=tuple(map(tuple, jobs)),
        beside=tuple(word for word in words if word not in axes),
        space=tuple(space),
        fixed=tuple(fixed),
        trials=study.get("trials", 0),
        rungs=tuple(study.get("rungs") or ()),
        factor=study.get("factor", 3),
    )


def _root(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition(".")[0].partition("/")[0]


def _composed(path: Path, words: Sequence[str]) -> DictConfig:
    return compose(words, path.stem, path.parent)


def _problems(study: Mapping[Any, Any]) -> Iterator[str]:
    for key in study:
        if key not in _STUDY:
            yield f"study.{key}: study takes {', '.join(_STUDY)}.{did_you_mean(str(key), _STUDY)}"
    if study.get("by", "train") not in BY:
        yield f"study.by: {study['by']!r} is none of {', '.join(BY)}"
    if study.get("score", "dev") not in SCORES:
        yield f"study.score: {study['score']!r} is none of {', '.join(SCORES)}"
    tokens = study.get("tokens")
    if tokens is not None and (not isinstance(tokens, int) or tokens < 2):
        yield f"study.tokens: {tokens!r} is no number of tokens"
    trials, rungs, factor = study.get("trials", 0), study.get("rungs") or [], study.get("factor", 3)
    if study.get("by") == "search" and not (isinstance(trials, int) and trials > 0):
        yield f"study.trials: {trials!r} is no number of trials"
    if not isinstance(rungs, list) or not all(isinstance(rung, int) and rung > 0 for rung in rungs):
        yield f"study.rungs: {rungs!r} is no list of training steps"
    elif rungs != sorted(set(rungs)):
        yield f"study.rungs: {rungs} do not ascend"
    if not isinstance(factor, int) or factor < 2:
        yield f"study.factor: {factor!r} is no whole number above 1"
    rows = study.get("published") or []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        if not isinstance(row, Mapping) or not {*_ROW[:4]} <= set(row) or not set(row) <= {*_ROW}:
            yield f"study.published, row {number}: a row has {', '.join(_ROW[:4])} and may have words"
        elif isinstance(row["value"], bool) or not isinstance(row["value"], int | float):
            yield f"study.published, row {number}: {row['value']!r} is no number"
        elif not math.isfinite(row["value"]):
            yield f"study.published, row {number}: {row['value']!r} is no finite number"


def _row(row: Mapping[str, Any]) -> PublishedValue:
    words = tuple(str(row.get("words") or "").split())
    return PublishedValue(str(row["label"]), float(row["value"]), str(row["unit"]), str(row["source"]), words)


def _heads(text: str) -> dict[str, str]:
    """What the comment at the top says under each of ``HEADS``, lines that go on joined."""
    found, current = dict.fromkeys(HEADS, ""), ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        match = re.match(rf"#\s*({'|'.join(HEADS)}):\s*(.*)", line)
        if match:
            current, found[match[1]] = match[1], match[2].strip()
        elif current and re.match(r"#\s{4,}\S", line):
            found[current] += " " + line.lstrip("# ").strip()
        else:
            current = ""
    return found
