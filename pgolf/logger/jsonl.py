"""Metrics of a run as JSON lines: ``{"step": 100, "seconds": 12.5, "train_loss": 3.21}``.

Strict JSON: a metric that is not finite is null, and ``nonfinite`` names it with what it was. Cost: one
small write per logged step. It hurts never; a full disk ends the file with one line on the console.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from pgolf.core.ranges import NonNegativeFloat
from pgolf.track.jsonable import to_json, to_plain

FILE_NAME = "metrics.jsonl"
_LONGEST_LINE = 1 << 20


class Jsonl:
    """A Logger (core.protocols). ``folder`` is the run folder, ``say`` prints one line for the user."""

    def __init__(self, *, flush_seconds: NonNegativeFloat, folder: Path, say: Callable[[str], None]) -> None:
        self._path = folder / FILE_NAME
        self._flush_seconds = flush_seconds
        self._say = say
        self._stream: IO[str] | None = None
        self._started = self._flushed = time.monotonic()

    def start(self, facts: Mapping[str, Any]) -> None:
        """Open the file. The facts are not repeated here: config.yaml and result.json hold them.

        Where an earlier process of the same run has left lines, time goes on from theirs.
        """
        self._started = time.monotonic() - _last_seconds(self._path)
        try:
            self._stream = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - closed in finish()
        except OSError as error:
            self._give_up(error)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line. ``seconds`` counts from ``start``."""
        if self._stream is None:
            return
        now = time.monotonic()
        line: dict[str, Any] = {"step": step, "seconds": round(now - self._started, 3)}
        plain = to_plain(metrics)
        odd = {str(name): str(float(value)) for name, value in metrics.items() if _is_odd(value)}
        try:
            self._stream.write(to_json(line | plain | ({"nonfinite": odd} if odd else {})) + "\n")
        except OSError as error:
            self._give_up(error)
        if now - self._flushed >= self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Put all lines on the disk, however old they are."""
        if self._stream is None:
            return
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)
        self._flushed = time.monotonic()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close the file; a second call does nothing."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._stream = None
        self._say(f"metrics: {self._path} cannot be written ({error.strerror or error}); the run goes on without it")


def _last_seconds(path: Path) -> float:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - _LONGEST_LINE))
            return float(json.loads(file.read().splitlines()[-1])["seconds"])
    except (OSError, ValueError, LookupError, TypeError):
        return 0.0


def _is_odd(value: Any) -> bool:
    try:
        return not math.isfinite(value)
    except (TypeError, ValueError):
        return False
