"""Score against bytes, every run that counts, and those that no other beats in both."""

from __future__ import annotations

from pgolf.report.frontier import frontier
from pgolf.report.html.charts import Dot, cloud
from pgolf.report.html.parts import Charts, Key, Section
from pgolf.report.html.subject import SetPage

PLACE = 40


def section(page: SetPage) -> Section | None:
    found = frontier(page.report.runs)
    if found is None or len(found.runs) < 2:
        return None
    of = {id(run): one for one in page.experiments for run in one.runs}
    shown = list(dict.fromkeys(page.colour(of[id(run)]) for run in found.runs))
    dots = [
        Dot(
            float(run.bytes_total or 0),
            run.val_bpb or 0.0,
            f"{page.run_label(of[id(run)], run)}: {run.val_bpb:.4f} at {run.bytes_total:,} bytes",
            page.colour(of[id(run)]),
            str(page.colour(of[id(run)]) + 1) if run in found.best else "",
        )
        for run in found.runs
    ]
    keys = [Key(page.label(page.experiments[colour]), colour, str(colour + 1)) for colour in shown]
    cap = found.cap_bytes
    near = cap is not None and cap <= 1.5 * max(dot.x for dot in dots)
    chart = cloud(
        "bits per byte against bytes",
        dots,
        x="bytes",
        y="bits per byte",
        keys=keys,
        staircase=[(float(run.bytes_total or 0), run.val_bpb or 0.0) for run in found.best],
        wall=(float(cap), "cap") if cap is not None and near else None,
    )
    assert chart is not None
    notes = [f"on {found.text}; the line joins what no other run beats in both, its numbers are those of the legend"]
    if found.elsewhere:
        notes.append(f"{found.elsewhere} more runs count, but on other texts")
    return Section("Score against bytes", (Charts((chart,), (), tuple(notes)),))
