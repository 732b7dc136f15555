"""What the experiments are called, where the page calls them by what they change."""

from __future__ import annotations

from pgolf.report.html.parts import Section
from pgolf.report.html.subject import SetPage
from pgolf.report.table import Table

PLACE = 95


def section(page: SetPage) -> Section | None:
    rows = []
    for one in page.experiments:
        hypotheses = dict.fromkeys(
            text
            for run in page.pages_of(one)
            for text in [(run.config or {}).get("hypothesis")]
            if isinstance(text, str) and text
        )
        folders = dict.fromkeys(str(run.source.parent) for run in one.runs)
        rows.append((page.label(one), one.name, one.key[:12], " ".join(folders), "; ".join(hypotheses)))
    header = ("change", "experiment", "config", "below", "hypothesis")
    return Section("Experiments", (Table("", header, tuple(rows)),)) if rows else None
