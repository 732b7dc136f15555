"""Processes seen from outside, by what Linux tells under /proc: for tests of how things end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM, _BEGAN = 1, 11, 12, 19  # fields of /proc/PID/stat after the name


@dataclass(frozen=True)
class Seen:
    """A process as it was met; ``began`` tells it from a later one of the same number."""

    pid: int
    parent: int
    began: int
    cpu_seconds: float
    command: str

    def alive(self) -> bool:
        again = _seen(self.pid)
        return again is not None and again.began == self.began


def descendants(pid: int) -> list[Seen]:
    """The processes that ``pid`` has started and those that they have, as they are now."""
    everyone = [seen for name in os.listdir("/proc") if name.isdigit() and (seen := _seen(int(name)))]
    found, level = [], {pid}
    while level:
        below = [seen for seen in everyone if seen.parent in level]
        found += below
        level = {seen.pid for seen in below}
    return found


def sealed_processes(pid: int) -> list[Seen]:
    """Those that serve a stream for ``pid``: forked from its zygote, or started by it."""
    below = descendants(pid)
    zygotes = {seen.pid for seen in below if "pgolf.eval.zygote" in seen.command and seen.parent == pid}
    return [seen for seen in below if seen.parent in zygotes or "sealed_child" in seen.command]


def until(look: Callable[[], Found], seconds: float) -> Found:
    """Look again and again until there is something; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds:g} s"
        time.sleep(0.05)
    return found


def _seen(pid: int) -> Seen | None:
    """None where the process has ended, be it that nobody has asked for its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    if stat[0] in "ZX":
        return None
    used = (int(stat[_USER]) + int(stat[_SYSTEM])) / _TICKS
    return Seen(pid, int(stat[_PARENT]), int(stat[_BEGAN]), used, command)
