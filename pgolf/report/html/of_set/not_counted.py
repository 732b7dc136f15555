"""Every score that does not count and every folder that is no run, with the reason."""

from __future__ import annotations

from dataclasses import replace

from pgolf.report.html.parts import Section
from pgolf.report.html.subject import SetPage

PLACE = 90


def section(page: SetPage) -> Section | None:
    table = page.report.not_counted
    return None if table is None else Section(table.title, (replace(table, title=""),))
