"""Two checkouts in turns: the same benchmarks over both, each in a process of its own, round by round.

The benchmarks are this checkout's in both processes, so that both are held to one measure; all else is each one's own.
What an older one keeps elsewhere, ``_PROGRAM`` lends it or tells it where. Where a benchmark needs of it what it has
not, that is the reason why it is not measured. One process works at a time: they begin a round in turn, A B, B A, and
each ratio is of two that stood beside each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pgolf
from pgolf.bench.figures import FigureChange, Reading, gathered, paired
from pgolf.bench.rounds import Setting
from pgolf.core.errors import ConfigError, UserError

ROUNDS = 7
# Of the machine alone; with processes of its own, which would not find the other checkout; of an artifact, which one
# of both might not read.
LEFT_OUT = ("peaks", "waiting", "artifact")
# Run before anything else of the package: whose code it is, and the benchmarks from here.
_PROGRAM = """
import importlib, importlib.util, os, sys
theirs, ours = sys.argv[1:3]
sys.path.insert(0, theirs)
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import pgolf, pgolf.bench, pgolf.core
pgolf.bench.__path__[:] = [os.path.join(ours, "pgolf", "bench")]
if importlib.util.find_spec("pgolf.core.make") is None:  # where it was before
    sys.modules["pgolf.core.make"] = importlib.import_module("pgolf.config.make")
pgolf.core.__path__.append(os.path.join(ours, "pgolf", "core"))  # what is not there, such as peaks
if not hasattr(importlib.import_module("pgolf.core.command"), "at_least"):
    path = os.path.join(ours, "pgolf", "core", "command.py")
    spec = importlib.util.spec_from_file_location("pgolf.core.command", path)
    sys.modules["pgolf.core.command"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["pgolf.core.command"])
from pgolf.bench.against import serve
serve(answers, sys.argv[3])
"""


@dataclass(frozen=True, slots=True)
class InTurns:
    """``changes`` from the other checkout's figures to ours; ``notes``: what differs in size, what is not measured."""

    changes: tuple[FigureChange, ...]
    notes: tuple[str, ...]


def checkout(path: Path) -> Path:
    """Raises ConfigError for a folder that is no checkout of pgolf, and for this one."""
    if not (path / "pgolf" / "__init__.py").is_file() or not (path / "conf" / "config.yaml").is_file():
        raise ConfigError(f"--against: {path}: no checkout of pgolf, which has pgolf/ and conf/config.yaml")
    if path.resolve() == root():
        raise ConfigError(f"--against: {path}: this checkout itself")
    return path.resolve()


def root() -> Path:
    return Path(pgolf.__file__).resolve().parent.parent


def in_turns(bench: str, other: Path, setting: Setting, their_words: Sequence[str], rounds: int) -> InTurns:
    """The benchmark over both checkouts."""
    with _child(bench, other, setting, their_words) as old, _child(bench, root(), setting, setting.words) as new:
        notes = []
        for name, child in ((str(other), old), ("here", new)):
            if child.reason:
                notes.append(f"{bench}: not measured: {name}: {child.reason}")
        if notes:
            return InTurns((), tuple(notes))
        notes += [
            f"{bench}: {key}: {old.size.get(key)!r} there, {new.size.get(key)!r} here"
            for key in sorted({*old.size, *new.size})
            if old.size.get(key) != new.size.get(key)
        ]
        return turns(bench, old.round, new.round, rounds, tuple(notes))


def turns(
    bench: str,
    old: Callable[[], Sequence[Reading]],
    new: Callable[[], Sequence[Reading]],
    rounds: int,
    notes: tuple[str, ...] = (),
) -> InTurns:
    """A round of each that does not count, then ``rounds`` of each in turns."""
    found: dict[str, list[Sequence[Reading]]] = {"old": [], "new": []}
    sides = {"old": old, "new": new}
    for turn in range(1 + rounds):
        for name in ("old", "new") if turn % 2 else ("new", "old"):
            readings = sides[name]()
            if turn:
                found[name].append(readings)
    before, after = ({figure.name: figure for figure in gathered(found[name])} for name in ("old", "new"))
    alone = [f"{bench}: {name}: only there" for name in before if name not in after]
    alone += [f"{bench}: {name}: only here" for name in after if name not in before]
    changes = tuple(paired(bench, before[name], after[name]) for name in before if name in after)
    return InTurns(changes, (*notes, *alone))


class Child:
    """A process that measures a round whenever it is sent a line. ``reason``: why it cannot."""

    def __init__(self, process: subprocess.Popen[str], whose: Path) -> None:
        """Raises UserError where it ends at once."""
        self._process, self._whose = process, whose
        first = self._answer()
        self.reason, self.size = str(first.get("reason", "")), dict(first.get("size", {}))

    def round(self) -> list[Reading]:
        """Raises UserError where it ends instead."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as its silence will tell
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        answer = self._answer()
        if "reason" in answer:
            raise UserError(f"{self._whose}: {answer['reason']}")
        return [Reading(**reading) for reading in answer["readings"]]

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UserError(
                f"{self._whose}: the process that measures it ended with exit status {self._process.wait()}; what it "
                "had to say of that stands above"
            )
        return json.loads(line)


@contextmanager
def _child(bench: str, whose: Path, setting: Setting, words: Sequence[str]) -> Iterator[Child]:
    told = {"bench": bench, "threads": setting.threads, "tiny": setting.tiny, "words": list(words)}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(whose), str(root()), json.dumps(told)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Child(process, whose)
    finally:
        process.kill()
        process.communicate()  # also closes the pipes


def serve(answers: Any, told: str) -> None:
    """The measuring process: a line of JSON for what it is about, and one for each line of standard input."""
    from importlib import import_module

    from pgolf.bench.rounds import reason_of

    def answer(value: Mapping[str, Any]) -> None:
        print(json.dumps(value), file=answers, flush=True)

    asked = json.loads(told)
    setting = Setting(tuple(asked["threads"]), asked["tiny"], tuple(asked["words"]))
    # an older checkout lacks what a benchmark asks it for in all the ways that there are
    lacks = (UserError, ImportError, AttributeError, TypeError, KeyError)
    try:
        session = import_module(f"pgolf.bench.{asked['bench']}").session(setting)
    except lacks as error:
        answer({"reason": f"{type(error).__name__}: {reason_of(error)}"})
        return
    answer({"size": session.size})
    for _ in sys.stdin:
        try:
            answer({"readings": [asdict(reading) for reading in session.round()]})
        except lacks as error:
            answer({"reason": f"{type(error).__name__}: {reason_of(error)}"})
    session.close()
