"""What was proved of each run."""

from __future__ import annotations

from pgolf.core.errors import RunError
from pgolf.report.html.parts import Notice, Section
from pgolf.report.html.subject import SetPage
from pgolf.report.table import Table, whole

PLACE = 70


def section(page: SetPage) -> Section | None:
    rows, notes = [], []
    for one in page.report.ours:
        for run in page.pages_of(one):
            label = page.run_label(one, run)
            try:
                found = run.evidence()
            except RunError as error:
                notes.append(f"{label}: {str(error).removeprefix(f'{run.folder}: ')}")
                continue
            if found is None:
                rows.append((label, "none", "", "", "", "", "", ""))
                continue
            rows.append(
                (
                    label,
                    "passed" if found.passed else "failed",
                    whole(found.looked_at),
                    whole(found.drawn),
                    "" if found.bound is None else f"{100 * found.bound:.2f} %",
                    whole(found.decoded),
                    found.isolation,
                    "; ".join(f"({probe.letter}) {probe.name}: {probe.message}" for probe in found.failed),
                )
            )
    if not rows and not notes:
        return None
    if not notes and all(row[1] == "none" for row in rows):
        return Section(
            "Certificates", (Notice("None of these runs has one: nothing is proved of their scores.", "warn"),)
        )
    header = ("run", "verdict", "looked at", "n", "bound", "tokens decoded", "isolation", "failed")
    notes.insert(
        0, "n: positions looked at that were drawn evenly; bound: of all positions at most so many differ, at 95 %"
    )
    return Section("Certificates", (Table("", header, tuple(rows), tuple(notes)),))
