"""What the user sees: lines, tables, progress and the closing summary.

A live bar on a terminal, plain lines at sensible intervals anywhere else, and a plain copy of everything in
the run folder. Output that goes away (a closed pipe, a full disk under the log) never ends a run.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.text import Text

from pgolf.core.results import Artifact, Certificate
from pgolf.core.streams import silence
from pgolf.track.progress import ConsoleProgress
from pgolf.track.summary import summary_lines
from pgolf.track.tabular import columns

MAX_WIDTH = 100
_BAR_AFTER_SECONDS = 0.5  # what is over sooner needs no bar
_LIVE_TICK_SECONDS = 0.2
_PLAIN_TICK_SECONDS = 0.5


class _Rich(RichConsole):
    """Rich ends the process when the reader of its output is gone; a run is worth more than that."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Console:
    """One per process; safe to use from several threads."""

    def __init__(
        self,
        *,
        stream: IO[str] | None = None,
        log: Path | None = None,
        interval_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``stream`` defaults to standard output. Without a terminal a progress line comes after
        two seconds, then every ``interval_seconds``, or at a tenth of the work after half of that."""
        self._stream = stream if stream is not None else sys.stdout
        self._interval_seconds = interval_seconds
        self._clock = clock
        terminal = _is_terminal(self._stream)
        if hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="backslashreplace")
        self._rich = _Rich(
            file=self._stream,
            force_terminal=terminal,
            width=None if terminal else MAX_WIDTH,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self.live = terminal and not self._rich.is_dumb_terminal
        self.unicode = _takes_unicode(self._stream)
        self._lock = threading.RLock()
        self._deaf = False
        self._log: IO[str] | None = None
        self._active: tuple[ConsoleProgress, ...] = ()
        self._display: Live | None = None
        self._stop = threading.Event()
        if log is not None:
            self.attach(log)

    @property
    def width(self) -> int:
        """Columns to lay text out in, at most 100."""
        return min(self._rich.width, MAX_WIDTH)

    def attach(self, log: Path) -> None:
        """From now on copy everything, without colour, into the file ``log``."""
        with self._lock:
            self._close_log()
            try:
                self._log = open(log, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed by close() or attach()
            except OSError as error:
                self.line(f"console log: {log} cannot be written ({error.strerror or error})")

    def line(self, text: str = "") -> None:
        """Print one line (or several, where ``text`` has line breaks)."""
        self.show(Text(text))

    def table(self, title: str, rows: Sequence[Sequence[object]], header: Sequence[str] | None = None) -> None:
        """Print rows under a title; columns of numbers are aligned to the right."""
        self.show(Text(title, style="bold"), *columns(rows, header))

    @contextmanager
    def progress(self, label: str, total: float | None = None, unit: str = "") -> Iterator[ConsoleProgress]:
        """For anything that may take longer than two seconds.

        What it gives has ``update(done, **facts)``, and can be called as ``(label, done, total)``.
        """
        progress = ConsoleProgress(
            label=label,
            total=total,
            unit=unit,
            interval_seconds=self._interval_seconds,
            clock=self._clock,
            on_way=self.record if self.live else self.line,
            at_end=self.line,
        )
        self._enter(progress)
        try:
            yield progress
        except BaseException:
            self._leave(progress)
            progress.close(failed=True)
            raise
        self._leave(progress)
        progress.close(failed=False)

    def summary(
        self,
        result: Mapping[str, Any],
        artifact: Artifact | None,
        certificate: Certificate | None,
        folder: Path | None,
    ) -> None:
        """The closing summary of a run, from its result.json mapping; what was not reached is None."""
        self.show(*summary_lines(result, artifact, certificate, folder, self.width, self.unicode))

    def show(self, *lines: Text) -> None:
        """Print styled lines; styles reach a terminal only."""
        with self._lock:
            for line in lines:
                self._emit(line)
            self.record(*(line.plain for line in lines))

    def record(self, *lines: str) -> None:
        """Write to the log only."""
        with self._lock:
            if self._log is None:
                return
            try:
                self._log.write("".join(f"{line}\n" for line in lines))
                self._log.flush()
            except OSError as error:
                self._log = None
                self.line(f"console log: stopped ({error.strerror or error})")

    def close(self) -> None:
        """Take down a live bar and close the log. Printing still works afterwards."""
        with self._lock:
            self._active = ()
            self._take_down()
            self._close_log()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enter(self, progress: ConsoleProgress) -> None:
        with self._lock:
            self._active = (*self._active, progress)
            if len(self._active) == 1:
                self._stop = threading.Event()
                threading.Thread(target=self._tick, args=(self._stop,), name="console", daemon=True).start()

    def _leave(self, progress: ConsoleProgress) -> None:
        with self._lock:
            self._active = tuple(other for other in self._active if other is not progress)
            if not self._active:
                self._take_down()

    def _tick(self, stop: threading.Event) -> None:
        """Thread, while something is in progress: redraw the bars, or print lines that are due."""
        while not stop.wait(_LIVE_TICK_SECONDS if self.live else _PLAIN_TICK_SECONDS):
            with self._lock:
                if stop.is_set():
                    return
                if self.live and not self._deaf:
                    self._redraw()
                for progress in self._active:
                    progress.report_if_due()

    def _redraw(self) -> None:
        try:
            if self._display is None and any(p.elapsed >= _BAR_AFTER_SECONDS for p in self._active):
                self._display = Live(console=self._rich, auto_refresh=False, transient=True, get_renderable=self._bars)
                self._display.start()
            if self._display is not None:
                self._display.refresh()
        except (OSError, ValueError):
            self._turn_deaf()

    def _bars(self) -> Group:
        # Without our lock: rich calls this under its own, and ours is always taken first.
        return Group(*(p.bar(self.width, self.unicode) for p in self._active))

    def _take_down(self) -> None:
        self._stop.set()
        display, self._display = self._display, None
        if display is not None:
            try:
                display.stop()
            except (OSError, ValueError):
                self._turn_deaf()

    def _emit(self, line: Text) -> None:
        if self._deaf:
            return
        try:
            self._rich.print(line, soft_wrap=True)
            self._stream.flush()
        except (OSError, ValueError):  # the reader is gone, or the stream is closed
            self._turn_deaf()

    def _turn_deaf(self) -> None:
        """Nobody reads any more: go on in silence, also through the flush at the end of the process."""
        self._deaf = True
        if self._stream is sys.stdout:
            with suppress(OSError, ValueError):
                silence(self._stream.fileno())

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            try:
                log.close()
            except OSError as error:
                self.line(f"console log: incomplete ({error.strerror or error})")


def _is_terminal(stream: IO[str]) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _takes_unicode(stream: IO[str]) -> bool:
    try:
        "━─╸…".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
