"""The progress of one long thing: how far, how fast, how long still."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pgolf.track.words import count, duration, fact, percent, rate

if TYPE_CHECKING:
    from pgolf.track.console import Console

_LABEL_WIDTH = 12
_BAR_WIDTH = 18
_WORTH_A_LINE_SECONDS = 2.0


class Progress:
    """Made by ``Console.progress``; enter it with ``with``.

    ``update(done, **facts)`` and the call ``(label, done, total)`` are cheap and may come from any thread.
    """

    def __init__(self, console: Console, label: str, total: float | None, unit: str) -> None:
        self._console = console
        self._unit = unit
        self._begin(label, total)

    def _begin(self, label: str, total: float | None, since: float | None = None) -> None:
        self.label = label
        self.total = total
        self.done: float = 0
        self._facts: dict[str, Any] = {}
        self._fraction: float | None = None
        self._left_seconds: float | None = None
        self._started = self._reported = self._updated = self._console.clock() if since is None else since
        self._reported_tenth = self._lines = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._console.clock() - self._started

    @property
    def fraction(self) -> float | None:
        """Share of the work done, None where the end is not known."""
        if self._fraction is not None:
            return min(max(self._fraction, 0.0), 1.0)
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else None

    @property
    def left_seconds(self) -> float | None:
        """Seconds still to go, as told or else at the mean pace so far."""
        if self._left_seconds is not None:
            return max(self._left_seconds, 0.0)
        fraction = self.fraction
        return self.elapsed * (1 - fraction) / fraction if fraction else None

    def update(
        self,
        done: float,
        *,
        total: float | None = None,
        fraction: float | None = None,
        left_seconds: float | None = None,
        **facts: Any,
    ) -> None:
        """``done`` of ``total`` units are done. ``facts`` are shown as ``name value``, the last of each name.

        A fact ``tokens_per_second`` is shown as ``21,400 tokens/s`` in place of the mean pace. Work that ends
        by the clock gives ``fraction`` and ``left_seconds`` instead of a total.
        """
        self.done = done
        if total is not None:
            self.total = total
        self._fraction = fraction if fraction is not None else self._fraction
        self._left_seconds = left_seconds
        self._facts |= facts
        self._updated = self._console.clock()
        self.report_if_due()

    def __call__(self, label: str, done: float, total: float | None) -> None:
        """The progress callback of the data and evaluation code. A new label begins a new count."""
        if label != self.label:
            if self.done:
                self._close(failed=False)
            self._begin(label, total, since=self._updated)
        self.total = total
        self.update(done)

    def __enter__(self) -> Progress:
        self._begin(self.label, self.total)
        self._console.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._console.leave(self)
        self._close(failed=kind is not None)

    def report_if_due(self) -> None:
        """Print a plain line when one is due; on a live terminal it goes to the log only."""
        now, fraction = self._console.clock(), self.fraction
        waited = now - self._reported
        tenth = int(10 * fraction) if fraction is not None else 0
        new_tenth = self._reported_tenth < tenth < 10
        interval = self._console.interval_seconds
        due = interval if self._lines else min(interval, _WORTH_A_LINE_SECONDS)
        if waited < due and not (new_tenth and waited >= interval / 2):
            return
        self._reported, self._reported_tenth, self._lines = now, tenth, self._lines + 1
        if self._console.live:
            self._console.record(self.plain())
        else:
            self._console.line(self.plain())

    def plain(self) -> str:
        """The state as one line without a bar."""
        return "   ".join([self.label.ljust(_LABEL_WIDTH), *self._parts()])

    def bar(self, width: int, unicode: bool) -> Text:
        """The state as one line with a bar, cut to ``width`` columns."""
        line = Text(no_wrap=True, overflow="ellipsis" if unicode else "crop")
        line.append(self.label.ljust(_LABEL_WIDTH), style="bold")
        line.append(" ")
        line.append_text(meter(self.fraction, _BAR_WIDTH, unicode, self.elapsed))
        for part in self._parts():
            line.append(f"  {part}")
        line.truncate(width - 1, overflow="ellipsis" if unicode else "crop")
        return line

    def _parts(self) -> list[str]:
        fraction, left = self.fraction, self.left_seconds
        parts = [self._amount()] if self.done or self.total else [duration(self.elapsed)]
        if fraction is not None:
            parts.append(percent(fraction))
        if left is not None:
            parts.append(f"{duration(left)} left")
        elif self.done:
            parts.append(duration(self.elapsed))
        return parts + self._shown_facts()

    def _amount(self) -> str:
        amount = count(self.done) + (f"/{count(self.total)}" if self.total else "")
        return f"{amount} {self._unit}".rstrip()

    def _shown_facts(self) -> list[str]:
        shown = [fact(name, value) for name, value in self._facts.items()]
        paced = any(name.endswith("_per_second") for name in self._facts)
        if self._unit and not paced and self.done and self.elapsed > 0:
            shown.append(rate(self.done / self.elapsed, self._unit))
        return shown

    def _close(self, failed: bool) -> None:
        """The line that remains of anything that took longer than two seconds."""
        elapsed = self.elapsed
        if elapsed < _WORTH_A_LINE_SECONDS and not failed:
            return
        amount = f"{count(self.done)} {self._unit}".rstrip() if self.done else ""
        if failed:
            parts = [f"stopped after {duration(elapsed)}" + (f" at {amount}" if amount else "")]
        else:
            parts = [
                f"{amount} in {duration(elapsed)}" if amount else duration(elapsed),
                *self._shown_facts(),
            ]
        self._console.line("   ".join([self.label.ljust(_LABEL_WIDTH), *parts]))


def meter(
    fraction: float | None, width: int, unicode: bool, elapsed: float = 0.0, style: str = "cyan"
) -> Text:
    """A bar of ``width`` columns; where the end is not known, a piece that wanders with ``elapsed``."""
    full, empty = ("━", "─") if unicode else ("=", "-")
    bar = Text()
    if fraction is None:
        piece, room = width // 4, width - width // 4
        place = int(elapsed * 8) % (2 * room)
        start = place if place <= room else 2 * room - place
        bar.append(empty * start, style="dim")
        bar.append(full * piece, style=style)
        bar.append(empty * (room - start), style="dim")
        return bar
    filled = int(width * fraction)
    bar.append(full * filled, style=style)
    bar.append(empty * (width - filled), style="dim")
    return bar
