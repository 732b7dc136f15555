"""A run that is told to stop takes one road, whoever says so: Ctrl-C, a scheduler, a closed terminal.

SIGINT, SIGTERM (preemption, ``scancel``, ``docker stop``) and SIGHUP (the terminal is gone) become ``Stopped``, a
KeyboardInterrupt, so that every ``with`` and ``finally`` on the way does its work: processes are ended, temporary
folders removed, the record written. A signal that was ignored at the start stays ignored (``nohup``, a shell's
background jobs), and one that a library already handles (a launcher that requeues its jobs) stays with it.

Further signals while the first is on its way change nothing: the ending is short, and schedulers send pairs. Only
where somebody has swallowed the exception does the next signal raise it anew. SIGQUIT (Ctrl-\\) and SIGKILL end the
process at once and lose the record.

Exit status: 128 plus the signal's number, as a shell would report it: 129 SIGHUP, 130 SIGINT, 143 SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from types import FrameType

HEEDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The process was told to stop; its text names the signal."""

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)
        super().__init__("stopped by Ctrl-C" if number == signal.SIGINT else f"stopped by {self.number.name}")


def exit_status(stop: KeyboardInterrupt) -> int:
    """What the process that ``stop`` ends returns to its shell."""
    return 128 + int(stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextlib.contextmanager
def heeding_signals() -> Iterator[None]:
    """Turn the signals into ``Stopped``, raised in the main thread, until the block ends.

    Does nothing in another thread, where Python lets nobody set a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HEEDED}
    handler = _Handler()
    ours = [n for n, was in before.items() if was in (signal.SIG_DFL, signal.default_int_handler)]
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Do all of the block, the writing of a record: a signal that comes meanwhile is heeded after it."""
    handler = next((h for h in map(signal.getsignal, HEEDED) if isinstance(h, _Handler)), None)
    if handler is None:
        yield
        return
    handler.holding = True
    try:
        yield
    finally:
        handler.holding = False
        if handler.held is not None:
            number, handler.held = handler.held, None
            handler(number, None)


class _Handler:
    """Raises ``Stopped`` once; again only after the one raised before has vanished without ending the process.

    While ``holding`` it raises nothing and keeps the first signal in ``held``.
    """

    def __init__(self) -> None:
        self._raised: weakref.ref[Stopped] | None = None
        self.holding = False
        self.held: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.holding:
            self.held = self.held or number
        if self.holding or (self._raised is not None and self._raised() is not None):
            with contextlib.suppress(OSError):  # print() may be what the signal interrupted
                os.write(2, b"pgolf: still ending, what exists is being written; Ctrl-\\ ends at once\n")
            return
        stop = Stopped(number)
        self._raised = weakref.ref(stop)
        try:
            raise stop
        finally:
            del stop  # this frame hangs on the exception: holding each other, they would never vanish
