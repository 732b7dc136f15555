"""Processes that work on one thing as ranks, forked from the one that tests: for tests of several."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from pgolf.core.process import Process
from pgolf.train.group import SILENCE_SECONDS, together
from tests.gloo_ranks import joined

_PATIENCE_SECONDS = 120
Join = Callable[[int, int, str], AbstractContextManager[Any]]


def replicas(silence_seconds: float = SILENCE_SECONDS) -> Join:
    """Ranks that train together."""
    return lambda rank, world, meeting: together(
        Process(rank, world, rank, world, meeting), torch.device("cpu"), silence_seconds
    )


class Forked:
    """``work(ranks)`` in as many processes as ``world``, a gloo group. ``answers``: what each returned, or the
    exception it ended with; None where it was killed. ``pids``: theirs."""

    def __init__(self, work: Callable[[Any], Any], meeting: Path, world: int = 2, join: Join = joined) -> None:
        context = multiprocessing.get_context("fork")
        lines = [context.Pipe(duplex=False) for _ in range(world)]
        self._there = [
            context.Process(target=_life, args=(work, rank, world, meeting, join, line[1]), daemon=True)
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
                answer = torch.load(io.BytesIO(line.recv_bytes()), weights_only=False)
            process.join(_PATIENCE_SECONDS)
            found.append(answer)
        return found

    def kill(self, rank: int) -> None:
        os.kill(self.pids[rank], signal.SIGKILL)


def _life(work: Callable[[Any], Any], rank: int, world: int, meeting: Path, join: Join, answers: Connection) -> None:
    torch.set_num_threads(1)  # what threads there were has not come along
    try:
        with join(rank, world, f"file://{meeting}") as ranks:
            answer = work(ranks)
        _send(answers, answer)
    except BaseException as error:
        _send(answers, error)
    finally:
        answers.close()
        os._exit(0)


def _send(answers: Connection, answer: Any) -> None:
    """With the numbers of its tensors, whose memory ends with this process."""
    content = io.BytesIO()
    torch.save(answer, content)
    answers.send_bytes(content.getvalue())
