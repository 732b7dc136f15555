"""Norms of gradients and updates and the size of weights by group, and whatever else was told as curves."""

from __future__ import annotations

from pgolf.report.html.charts import Curve, curves
from pgolf.report.html.parts import Chart, Charts, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.metrics import AXES, means

PLACE = 80
MOST_CHARTS, MOST_POINTS, MOST_LINES = 40, 120, 16
SPREAD = 30.0  # of values, from which on they stand on a logarithmic scale
ELSEWHERE = (*AXES, "seconds", "train_loss", "dev_loss", "dev_bpb", "final_loss", "final_bpb", "lr_scale", "tokens")
_ELSEWHERE = ("learned/", "trace/")


def section(page: RunPage) -> Section | None:
    kinds: dict[str, list[str]] = {}
    for name in page.metrics.names:
        if name not in (*ELSEWHERE, "tokens_per_second") and not name.startswith(_ELSEWHERE):
            kinds.setdefault(name.partition("/")[0], []).append(name)
    charts: list[Chart] = []
    left_out = 0
    for kind, names in kinds.items():
        found = [(name, page.metrics.series(name)) for name in names]
        found = [(name, series) for name, series in found if len(series) > 1]
        left_out += max(0, len(found) - MOST_LINES)
        lines = [
            Curve(name.partition("/")[2] or "all", means(series, MOST_POINTS)[0], colour)
            for colour, (name, series) in enumerate(found[:MOST_LINES])
        ]
        values = [value for line in lines for _, value in line.points]
        above = [value for value in values if value > 0]
        log = bool(above) and min(values) >= 0 and max(above) > SPREAD * min(above)
        title = kind.replace("_", " ") + (" (logarithmic)" if log else "")
        chart = curves(title, lines, x="steps", y=kind.replace("_", " "), log=log)
        charts += [chart] if chart is not None else []
    if not charts:
        return None
    notes = [f"{left_out} more lines are in metrics.jsonl"] if left_out else []
    if len(charts) > MOST_CHARTS:
        notes.append(f"{len(charts) - MOST_CHARTS} more pictures' numbers are in metrics.jsonl")
    return Section("Norms and other measurements", (Charts(tuple(charts[:MOST_CHARTS]), (), tuple(notes)),))
