"""Processes that work on one thing as ranks, forked from the one that tests: for tests of several."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from pgolf.core.group import joined

_PATIENCE_SECONDS = 120


class Forked:
    """``work(ranks)`` in as many processes as ``world``, a gloo group. ``answers``: what each returned, or the
    exception it ended with; None where it was killed. ``pids``: theirs."""

    def __init__(self, work: Callable[[Any], Any], meeting: Path, world: int = 2) -> None:
        context = multiprocessing.get_context("fork")
        lines = [context.Pipe(duplex=False) for _ in range(world)]
        self._there = [
            context.Process(target=_life, args=(work, rank, world, meeting, line[1]), daemon=True)
            for rank, line in enumerate(lines)
        ]
        for process, (_, theirs) in zip(self._there, lines, strict=True):
            process.start()
            theirs.close()
        self._lines = [line[0] for line in lines]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._there if process.pid is not None]

    def answers(self) -> list[Any]:
        found = []
        for process, line in zip(self._there, self._lines, strict=True):
            answer = None
            with suppress(EOFError):
                assert line.poll(_PATIENCE_SECONDS), "a rank says nothing"
                answer = line.recv()
            process.join(_PATIENCE_SECONDS)
            found.append(answer)
        return found

    def kill(self, rank: int) -> None:
        os.kill(self.pids[rank], signal.SIGKILL)


def _life(work: Callable[[Any], Any], rank: int, world: int, meeting: Path, answers: Connection) -> None:
    torch.set_num_threads(1)  # what threads there were has not come along
    try:
        with joined(rank, world, f"file://{meeting}") as ranks:
            answers.send(work(ranks))
    except BaseException as error:
        answers.send(error)
    finally:
        answers.close()
        os._exit(0)
