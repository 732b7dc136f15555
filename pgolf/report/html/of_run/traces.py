"""How the mixer weighed its experts over the stream, and the gates that it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgolf.core.errors import RunError
from pgolf.report.entry import Fields
from pgolf.report.html.charts import Curve, curves
from pgolf.report.html.parts import Charts, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.table import Table, whole
from pgolf.track.words import short

PLACE = 70
MOST_CHARTS = 48
_NUMBERS = ("mean", "deviation", "least", "largest")


def section(page: RunPage) -> Section | None:
    if page.result is None or page.fields.mapping(f"scores.{page.which}") is None:
        return None
    told = page.fields.at(f"scores.{page.which}.traces")
    if not isinstance(told, Sequence) or not all(isinstance(trace, Mapping) for trace in told):
        raise RunError(f"half a result: scores.{page.which}.traces is no list of traces")
    if not told:
        return None
    traces = [_Trace(page, trace) for trace in told]
    charts = [
        chart
        for number, trace in enumerate(traces[:MOST_CHARTS])
        if (
            chart := curves(
                trace.name,
                [Curve(trace.name, trace.points, number)],
                x="% of the stream",
                y="mean of a part",
                note=", ".join(f"{name} {value:.3f}" for name, value in trace.numbers.items() if value is not None),
            )
        )
    ]
    notes = ["each point is the mean of one of equal parts of the stream, in the order of prediction"]
    notes.append("they are what the scoring process says of itself; no probe looks at them")
    if len(traces) > MOST_CHARTS:
        notes.append(f"{len(traces) - MOST_CHARTS} more stand in the table alone")
    rows = [
        (trace.name, whole(trace.count), *("" if v is None else short(v) for v in trace.numbers.values()))
        for trace in traces
    ]
    table = Table("", ("signal", "positions", *_NUMBERS), tuple(rows))
    return Section("Mixing and counts over the stream", (Charts(tuple(charts), (), tuple(notes)), table))


class _Trace:
    def __init__(self, page: RunPage, told: Mapping[str, Any]) -> None:
        fields = Fields(page.folder, {"trace": told})
        self.name, self.count = fields.text("trace.name"), fields.whole("trace.count")
        self.numbers = {name: fields.number(f"trace.{name}") for name in _NUMBERS}
        curve = fields.at("trace.curve")
        if not isinstance(curve, Sequence) or isinstance(curve, str):
            raise RunError(f"half a result: the trace {self.name!r} has no curve")
        known = Fields(page.folder, {"curve": {str(i): value for i, value in enumerate(curve)}})
        values = [known.number(f"curve.{i}") for i in range(len(curve))]
        self.points = [(100 * (i + 0.5) / len(values), v) for i, v in enumerate(values) if v is not None]
