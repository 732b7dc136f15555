"""Validation kept shut while weights are made: whoever opens it then ends the run.

A Python audit hook refuses to open the validation shards and the raw text they were made of, from the moment training
is set up until the artifact's hash is written. It sees what Python opens in this process; compiled code and processes
that a technique starts it does not see (``pgolf.eval.seal`` says what takes more).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pgolf.core.errors import DataError

_SHUT: list[tuple[str, ...]] = []
_watching = False


class ValidationClosed(DataError):
    """Something read validation before the artifact was written."""


@contextmanager
def closed(paths: Sequence[Path]) -> Iterator[None]:
    """Inside, opening one of ``paths``, or a file in one that is a folder, raises ValidationClosed."""
    global _watching
    if not _watching:  # a hook stays as long as the process
        sys.addaudithook(_hook)
        _watching = True
    shut = tuple(os.path.realpath(path) for path in paths)
    _SHUT.append(shut)
    try:
        yield
    finally:
        _SHUT.remove(shut)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _SHUT or not isinstance(args[0], str | bytes | os.PathLike):
        return
    real = os.path.realpath(os.fsdecode(args[0]))
    for shut in _SHUT:
        for place in shut:
            if real == place or real.startswith(place + os.sep):
                raise ValidationClosed(
                    f"validation is closed until the artifact's hash is written, and something opened {real} before: "
                    "weights that have seen it are worth nothing"
                )
