"""The progress of one long thing: how far, how fast, how long still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text

from pgolf.track.meter import meter
from pgolf.track.words import count, duration, fact, percent, rate

_LABEL_WIDTH = 12
_BAR_WIDTH = 18
_WORTH_A_LINE_SECONDS = 2.0

Say = Callable[[str], None]


class ConsoleProgress:
    """Made by ``Console.progress``. It is also the ``Progress`` of core.protocols.

    ``update(done, **facts)`` and the call ``(label, done, total)`` are cheap and may come from any thread. ``on_way``
    takes a plain line when one is due, at most every ``interval_seconds`` or so; ``at_end`` the line that remains.
    """

    def __init__(
        self,
        *,
        label: str,
        total: float | None,
        unit: str,
        interval_seconds: float,
        clock: Callable[[], float],
        on_way: Say,
        at_end: Say,
    ) -> None:
        self._unit, self._interval_seconds, self._clock = unit, interval_seconds, clock
        self._on_way, self._at_end = on_way, at_end
        self._begin(label, total, since=clock())

    def _begin(self, label: str, total: float | None, since: float) -> None:
        self.label = label
        self.total = total
        self.done: float = 0
        self._facts: dict[str, Any] = {}
        self._fraction: float | None = None
        self._left_seconds: float | None = None
        self._started = self._reported = self._updated = since
        self._reported_tenth = self._lines = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._started

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
        self._updated = self._clock()
        self.report_if_due()

    def __call__(self, label: str, done: float, total: float | None, /) -> None:
        """A new label begins a new count."""
        if label != self.label:
            if self.done:
                self.close(failed=False)
            self._begin(label, total, since=self._updated)
        self.total = total
        self.update(done)

    def report_if_due(self) -> None:
        """Say where it is when a plain line is due."""
        now, fraction = self._clock(), self.fraction
        waited = now - self._reported
        tenth = int(10 * fraction) if fraction is not None else 0
        new_tenth = self._reported_tenth < tenth < 10
        interval = self._interval_seconds
        due = interval if self._lines else min(interval, _WORTH_A_LINE_SECONDS)
        if waited < due and not (new_tenth and waited >= interval / 2):
            return
        self._reported, self._reported_tenth, self._lines = now, tenth, self._lines + 1
        self._on_way(self.plain())

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

    def close(self, failed: bool) -> None:
        """The line that remains of anything that took longer than two seconds, or failed with something done."""
        elapsed = self.elapsed
        if elapsed < _WORTH_A_LINE_SECONDS and not (failed and self.done):
            return
        amount = f"{count(self.done)} {self._unit}".rstrip() if self.done else ""
        if failed:
            parts = [f"stopped after {duration(elapsed)}" + (f" at {amount}" if amount else "")]
        else:
            parts = [
                f"{amount} in {duration(elapsed)}" if amount else duration(elapsed),
                *self._shown_facts(),
            ]
        self._at_end("   ".join([self.label.ljust(_LABEL_WIDTH), *parts]))
