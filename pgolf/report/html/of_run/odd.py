"""What was odd in training: jumps of the loss, parameters without a gradient, gradients that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping

from pgolf.core.errors import RunError
from pgolf.report.html.parts import Section
from pgolf.report.html.subject import RunPage
from pgolf.report.table import Table

PLACE = 25
MOST_ROWS = 50


def section(page: RunPage) -> Section | None:
    told = page.result.get("anomalies") if page.result is not None else None  # an older result has none
    if not told:
        return None
    if not isinstance(told, list) or not all(isinstance(one, Mapping) for one in told):
        raise RunError("half a result: anomalies is no list of what was odd in training")
    rows = tuple(
        (
            f"{step:,}" if isinstance(step := one.get("step"), int) else "",
            str(one.get("kind", "")),
            str(one.get("text", "")),
        )
        for one in told[:MOST_ROWS]
    )
    notes = (f"{len(told) - MOST_ROWS} more are in result.json",) if len(told) > MOST_ROWS else ()
    return Section("Odd in training", (Table("", ("step", "kind", "what"), rows, notes),))
