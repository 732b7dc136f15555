"""The numbers behind the verdicts: t, degrees of freedom, p and intervals against each reference."""

from __future__ import annotations

from pgolf.report.html.parts import Section
from pgolf.report.html.subject import SetPage

PLACE = 35


def section(page: SetPage) -> Section | None:
    tables = tuple(comparison.table for comparison in page.report.comparisons if comparison.table.rows)
    return Section("Tests against references", tables) if tables else None
