"""Standard streams that do no harm: one that is closed, or whose reader leaves, turns silent and ends nothing.

A run is worth more than its output. Every command calls ``harmless_streams`` before anything else; a bundled script,
whose bytes count, has a shorter way to outlive its reader.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import TextIO

_GONE = (errno.EPIPE, errno.EBADF, errno.EIO)  # the reader, the stream, the terminal: nothing to tell anyone


def harmless_streams() -> None:
    """Replace ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` where they could end the process.

    A closed one becomes the null device, its number too: the next file opened would get it, and what a library or
    a child process prints. Streams that somebody else has put in place (tests, notebooks) are left alone.
    """
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            _fill(number)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for the whole process
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _harmless(sys.stdout, 1)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _harmless(sys.stderr, 2)


def silence(number: int) -> None:
    """Let the file descriptor ``number`` lead to the null device from now on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _fill(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        silence(number)
        os.set_inheritable(number, True)


def _harmless(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.flush()
    unbuffered = isinstance(stream, io.TextIOWrapper) and stream.write_through  # python -u
    return io.TextIOWrapper(
        io.BufferedWriter(_Harmless(number, "w", closefd=False)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",  # a file name need not be text
        line_buffering=unbuffered or number == 2 or os.isatty(number),
    )


class _Harmless(io.FileIO):
    """Writes until nobody takes it; a full disk is said once on standard error, a reader that left is not."""

    def write(self, data: object) -> int:
        while True:
            try:
                written = super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self._give_up(error)
                continue
            if written is not None:
                return written
            select.select((), (self,), ())  # it does not block, and is full

    def _give_up(self, error: OSError) -> None:
        silence(self.fileno())
        if error.errno not in _GONE and self.fileno() != 2:
            with contextlib.suppress(OSError):
                os.write(2, f"pgolf: standard output is lost from here on ({error.strerror})\n".encode())
