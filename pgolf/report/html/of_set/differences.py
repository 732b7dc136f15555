"""What each change comes to against the base, with its interval, and what was published beside it."""

from __future__ import annotations

from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Kind, Part, Section
from pgolf.report.html.subject import SetPage

PLACE = 20


def section(page: SetPage) -> Section | None:
    found = page.report.ablation
    if found is None:
        return None
    rows, ends = [], [0.0]
    for change in found.changes[1:]:
        kinds: dict[str, Kind] = {"better": "good", "worse": "bad"}
        if change.difference is None:
            rows.append(Bar(change.words, change.shown, kind="warn"))
            continue
        colour = {"better": 2, "worse": 6}.get(change.shown, 7)
        low, high = sorted((0.0, change.difference))
        text = f"{change.difference:+.4f}, {change.shown}"
        if change.published_gain is not None:
            text += f"; published {change.published_gain:+.4f}"
        rows.append(
            Bar(change.words, text, (BarSpan(low, high, colour),), change.interval, kind=kinds.get(change.shown, ""))
        )
        ends += [low, high, *(change.interval or ())]
    parts: list[Part] = []
    if len(ends) > 1:
        room = 0.05 * (max(ends) - min(ends)) or 0.01
        low, high = min(ends) - room, max(ends) + room
        marks = [tick for tick in ticks(low, high) if low <= tick <= high]
        labels = tuple(
            (mark, text if mark <= 0 else f"+{text}") for mark, text in zip(marks, numbers(marks), strict=True)
        )
        notes = ("bars: difference of the means; error bars: 95 % intervals by Welch's t; to the left is better",)
        title = f"Bits per byte more or less than {found.base.name}"
        parts.append(Bars(title, tuple(rows), low, high, labels, 0.0, (), notes))
    return Section("Differences", (*parts, found.table()))
