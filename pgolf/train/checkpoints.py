"""Checkpoints in a run's folder: the newest few, each whole or known not to be.

A file is three lines of text and a state: what it is and of which version, the SHA-256 of all that follows, facts as
JSON, and then ``torch.save``'s bytes, which are read as data alone (``weights_only``): no code of a foreign file runs.
Rank 0 writes for all: what the ranks of a run do not have in common is in its files by rank.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pgolf.core.atomic import write_bytes_atomic
from pgolf.core.errors import RunError
from pgolf.core.json_text import parse_json
from pgolf.track.folder import CHECKPOINTS
from pgolf.train.replicas import Replicas

VERSION = 2
PARTS = "parts"  # of the state: by rank what they do not have in common, where there is such
_FIRST = re.compile(rb"pgolf checkpoint (\d{1,9})\n([0-9a-f]{64})\n")
_NAME = re.compile(r"(\d+)(\.trained)?\.ckpt")
_PLAIN = (str, int, float, bool, type(None), Tensor)


@dataclass(frozen=True, slots=True)
class SavedState:
    """``facts``: what was known beside the ``state``. ``trained``: nothing is left to train."""

    path: Path
    step: int
    trained: bool
    facts: Mapping[str, Any]
    state: Mapping[str, Any]


def with_all_parts(state: Mapping[str, Any], own: Mapping[str, Any], replicas: Replicas) -> dict[str, Any]:
    """``state`` with everybody's ``own`` part of it, as ``Trainer.own_part`` makes it. A matter of all replicas."""
    return {**state, PARTS: replicas.gathered(dict(own))}


def of_rank(state: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """What this one of the replicas goes on from."""
    if PARTS not in state:
        return dict(state)
    own = dict(state[PARTS][rank])
    own["hooks"] = [own["hooks"].get(place, common) for place, common in enumerate(state["hooks"])]
    return {**state, **own}


class Torn(RunError):
    """A checkpoint that is not what was written."""


class Checkpoints:
    """Those of the run in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / CHECKPOINTS

    def paths(self) -> list[Path]:
        """The oldest first; the one with nothing left to train last."""
        if not self.folder.is_dir():
            return []
        found = [(match, path) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for match, path in sorted(found, key=lambda pair: (int(pair[0][1]), bool(pair[0][2])))]

    def write(
        self, step: int, facts: Mapping[str, Any], state: Mapping[str, Any], *, keep: int, trained: bool = False
    ) -> Path:
        """Write one and remove all but the newest ``keep``. Raises RunError where that cannot be; the others stay."""
        strange = next(_strange(state, "state"), None)
        assert strange is None, f"a checkpoint cannot hold {strange}"
        content = io.BytesIO()
        torch.save(state, content)
        head = json.dumps({**facts, "step": step, "trained": trained}).encode() + b"\n"
        digest = hashlib.sha256(head)
        digest.update(content.getbuffer())
        first = f"pgolf checkpoint {VERSION}\n{digest.hexdigest()}\n".encode()
        path = self.folder / f"{step:08d}{'.trained' * trained}.ckpt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be made: {error.strerror or error}") from error
        write_bytes_atomic(path, first, head, content.getbuffer())
        _unlink([other for other in self.paths() if other != path][: -(keep - 1) or None])
        return path

    def newest(self, say: Callable[[str], None]) -> SavedState | None:
        """The newest that is whole; ``say`` hears of each that is not. Raises RunError for one of another version.

        What a process that was killed had begun to write is removed.
        """
        _unlink(self.folder.glob(".*.ckpt.*.tmp"))
        for path in reversed(self.paths()):
            try:
                return read(path)
            except Torn as error:
                say(f"{error}; the one before it is taken")
                with contextlib.suppress(OSError):  # it is out of the way of those to come
                    path.rename(path.with_suffix(".torn"))
        return None

    def remove(self) -> None:
        """All of them: nothing is left to go on with."""
        _unlink([*self.paths(), *self.folder.glob("*.torn"), *self.folder.glob(".*.ckpt.*.tmp")])
        with contextlib.suppress(OSError):  # something of somebody else's is there
            self.folder.rmdir()


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # it is only in the way
            path.unlink()


def read(path: Path) -> SavedState:
    """Raises Torn for a file that is not as it was written, RunError for one of another version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Torn(f"{path}: cannot be read: {error.strerror or error}") from error
    first = _FIRST.match(data)
    if first is None:
        raise Torn(f"{path}: no checkpoint, or torn at its beginning ({len(data):,} bytes)")
    if int(first[1]) != VERSION:
        raise RunError(f"{path}: a checkpoint of version {int(first[1])}; this pgolf reads version {VERSION}")
    rest = memoryview(data)[first.end() :]
    if hashlib.sha256(rest).hexdigest() != first[2].decode():
        raise Torn(f"{path}: torn or changed: its {len(data):,} bytes do not have the SHA-256 in them")
    line = data.index(b"\n", first.end())
    facts = parse_json(data[first.end() : line], f"{path}: not a readable checkpoint", Torn)
    try:
        state = torch.load(io.BytesIO(rest[line + 1 - first.end() :]), map_location="cpu", weights_only=True)
        return SavedState(path, int(facts["step"]), bool(facts["trained"]), facts, state)
    except Exception as error:  # torch raises many kinds; whoever wrote this, it was not us
        raise Torn(f"{path}: not what a checkpoint holds ({type(error).__name__})") from error


def _strange(value: Any, place: str) -> Iterator[str]:
    """What ``read`` would not get back, by its place."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _strange(child, f"{place}[{key!r}]")
    elif isinstance(value, Sequence) and not isinstance(value, str) and type(value) in (list, tuple):
        for index, child in enumerate(value):
            yield from _strange(child, f"{place}[{index}]")
    elif not isinstance(value, _PLAIN):
        yield f"{place}, a {type(value).__name__}"
