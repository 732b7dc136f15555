"""What was proved of each run."""

from __future__ import annotations

from pgolf.core.errors import RunError
from pgolf.report.html.parts import Section
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
                rows.append((label, "none", "", "", "", "", ""))
                continue
            rows.append(
                (
                    label,
                    "passed" if found.passed else "failed",
                    whole(found.looked_at),
                    "" if found.bound is None else f"{100 * found.bound:.2f} %",
                    whole(found.decoded),
                    found.isolation,
                    "; ".join(f"({probe.letter}) {probe.name}: {probe.message}" for probe in found.failed),
                )
            )
    if not rows and not notes:
        return None
    header = ("run", "verdict", "n looked at", "bound", "tokens decoded", "isolation", "failed")
    notes.insert(0, "bound: of positions at most so many can differ, at 95 %")
    return Section("Certificates", (Table("", header, tuple(rows), tuple(notes)),))
