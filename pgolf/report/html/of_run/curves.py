"""Training loss and dev score, over the steps and over the seconds of training."""

from __future__ import annotations

from pgolf.report.html.charts import Curve, curves
from pgolf.report.html.parts import Chart, Charts, Notice, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.metrics import means

PLACE = 20
MOST_POINTS = 200
_AXES = (("step", "steps"), ("train_seconds", "training seconds"))


def section(page: RunPage) -> Section:
    charts: list[Chart | None] = []
    notes: list[str] = []
    for axis, words in _AXES:
        points, of = means(page.metrics.series("train_loss", axis), MOST_POINTS)
        charts.append(
            curves(f"training loss over {words}", [Curve("training loss", points)], x=words, y="nats per token")
        )
        if of > 1 and not notes:
            notes.append(f"training loss: means of {of} steps")
    for axis, words in _AXES:
        points = page.metrics.series("dev_bpb", axis)
        levels = []
        if page.entry and page.entry.val_bpb is not None:
            levels.append((page.entry.val_bpb, f"{page.which} {page.entry.val_bpb:.4f}"))
        line = Curve("dev score of a sample", points, 1, dots=True)
        charts.append(curves(f"dev score over {words}", [line], x=words, y="bits per byte", levels=levels))
    for name, title, unit in (
        ("lr_scale", "learning rate", "of its largest"),
        ("tokens_per_second", "speed", "tokens/s"),
    ):
        points, _ = means(page.metrics.series(name), MOST_POINTS)
        charts.append(curves(title, [Curve(title, points, 2)], x="steps", y=unit))
    shown: list[Chart] = [chart for chart in charts if chart is not None]
    if not shown:
        return Section("Curves", (Notice("Nothing was measured in training.", "warn"),))
    if page.metrics.series("dev_bpb"):
        notes.append(
            "dev scores in training are of a sample, by windows side by side; the final score is on another text"
        )
    return Section("Curves", (Charts(tuple(shown), (), tuple(notes)),))
