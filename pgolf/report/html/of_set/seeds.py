"""Every experiment's seeds with their mean and deviation, as a picture and as tables; a sweep has its own picture."""

from __future__ import annotations

from pgolf.report.against import described
from pgolf.report.html.charts import scale_of
from pgolf.report.html.parts import Bar, Bars, Folded, Part, Section
from pgolf.report.html.subject import SetPage
from pgolf.report.seeds import row_table, seed_table

PLACE = 30
MOST_OPEN = 12


def section(page: SetPage) -> Section | None:
    tables = [seed_table(one) for one in page.experiments]
    tables += [row_table(page.report.rows)] if page.report.rows else []
    if not tables:
        return None
    parts: list[Part] = [] if page.names or (picture := _picture(page)) is None else [picture]
    parts += tables[:MOST_OPEN]
    parts += [Folded(table.title, (table,)) for table in tables[MOST_OPEN:]]
    return Section("Seeds", tuple(parts))


def _picture(page: SetPage) -> Bars | None:
    """Ours; where there are none, published claims, whose texts are others."""
    ours = [one for one in page.experiments if not one.claimed]
    shown = [(one, one.bpb) for one in ours or page.experiments if one.bpb is not None]
    if not shown:
        return None
    rows, values = [], []
    for one, sample in shown:
        points = tuple(run.val_bpb for run in one.counted if run.val_bpb is not None)
        whisker = None if not sample.std else (sample.mean - sample.std, sample.mean + sample.std)
        rows.append(Bar(page.label(one), described(sample), (), whisker, points, sample.mean))
        values += [*points, *(whisker or ())]
    low, high, labels = scale_of(values, 0.05)
    notes = ("rings: one seed each; dot and bar: their mean and one standard deviation, n−1",)
    return Bars("Bits per byte", tuple(rows), low, high, labels, None, (), notes)
