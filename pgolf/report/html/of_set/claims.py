"""Forms that are no code length: what they claim, what their rows sum to, and what is left once they sum to one."""

from __future__ import annotations

from pgolf.report.entry import SUM_TOLERANCE
from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Key, Row, Rows, Section, Span
from pgolf.report.html.subject import SetPage
from pgolf.report.table import Table, number

PLACE = 80
LEAD = (
    "A score is a code length only where the probabilities of every row sum to one. These rows sum to more: what they "
    "claim is no number of bits that anybody could decode from. Renormalised is what is left when each row is divided "
    "by its sum."
)


def section(page: SetPage) -> Section | None:
    runs = [
        (one, run)
        for one in page.experiments
        for run in one.runs
        if (run.sum_p_max or 0.0) > 1 + SUM_TOLERANCE and run.val_bpb
    ]
    if not runs:
        return None
    rows, cells, longest = [], [], 0.0
    for one, run in runs:
        label, claimed, left = page.run_label(one, run), run.val_bpb or 0.0, run.renormalised_bpb
        spans = [Span(0.0, claimed, 6, f"claimed {claimed:.4f}")]
        if left is not None and left > claimed:
            spans.append(Span(claimed, left, 0, f"renormalised {left:.4f}"))
        longest = max(longest, claimed, left or 0.0)
        rows.append(Row(label, f"{claimed:.4f} claimed, {number(left, 4) or 'unknown'} renormalised", tuple(spans)))
        cells.append((label, number(claimed, 6), number(run.sum_p_mean, 4), number(run.sum_p_max, 2), number(left, 6)))
    marks = [tick for tick in ticks(0, longest) if tick <= longest]
    keys = (Key("claimed", 6), Key("what renormalising adds", 0))
    picture = Rows(
        "Bits per byte", tuple(rows), 0.0, longest, tuple(zip(marks, numbers(marks), strict=True)), 0.0, keys
    )
    header = ("run", "claimed bpb", "mean Σp", "most Σp", "renormalised bpb")
    return Section("Claims that are no code lengths", (picture, Table("", header, tuple(cells))), LEAD)
