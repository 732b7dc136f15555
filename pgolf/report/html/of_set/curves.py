"""Training losses and dev scores of all runs in the same pictures, a colour an experiment."""

from __future__ import annotations

from pgolf.report.html.charts import Curve, curves
from pgolf.report.html.parts import Chart, Charts, Key, Section
from pgolf.report.html.subject import SetPage
from pgolf.report.metrics import means

PLACE = 50
MOST_RUNS, MOST_DOTTED, MOST_POINTS_OF_ALL, MOST_POINTS, LEAST_POINTS = 120, 24, 1000, 150, 30
_FROM = 0.1  # of the run: before it every loss falls so steeply that nothing else would be seen
_PICTURES = (
    ("train_loss", "step", "training loss", "steps", "nats per token"),
    ("train_loss", "train_seconds", "training loss", "training seconds", "nats per token"),
    ("dev_bpb", "step", "dev score of a sample", "steps", "bits per byte"),
    ("dev_bpb", "train_seconds", "dev score of a sample", "training seconds", "bits per byte"),
)


def section(page: SetPage) -> Section | None:
    runs = [(one, run) for one in page.report.ours for run in page.pages_of(one) if run.metrics.rows]
    if not runs:
        return None
    shown = runs[:MOST_RUNS]
    most = max(LEAST_POINTS, min(MOST_POINTS, MOST_POINTS_OF_ALL // len(shown)))
    charts: list[Chart] = []
    for name, axis, title, x, y in _PICTURES:
        lines, late = [], []
        for one, run in shown:
            points, _ = means(run.metrics.series(name, axis), most)
            if points:
                label = page.run_label(one, run)
                lines.append(
                    Curve(label, points, page.colour(one), dots=name == "dev_bpb" and len(shown) <= MOST_DOTTED)
                )
                end = max(px for px, _ in points)
                late += [py for px, py in points if px >= _FROM * end]
        limits = None
        if name == "train_loss" and late:
            room = 0.04 * (max(late) - min(late)) or 0.1
            limits = (min(late) - room, max(late) + room)
        chart = curves(f"{title} over {x}", lines, x=x, y=y, limits=limits, keys=False)
        charts += [chart] if chart is not None else []
    keys = [Key(page.label(one), page.colour(one)) for one in dict.fromkeys(one for one, _ in shown)]
    notes = [f"training losses are means, at most {most} a run; the scale is that of what follows the first tenth"]
    if len(runs) > MOST_RUNS:
        notes.append(f"{len(runs) - MOST_RUNS} more runs are left out of these pictures")
    return Section("Curves", (Charts(tuple(charts), tuple(keys), tuple(notes)),)) if charts else None
