"""What was proved of the score: verdict, probes, how many positions were looked at and how much was decoded."""

from __future__ import annotations

from pgolf.report.html.parts import Fact, KeyFacts, Notice, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.table import Table, number, whole

PLACE = 15


def section(page: RunPage) -> Section | None:
    if page.result is None:
        return None
    found = page.evidence()
    if found is None:
        return Section("Certificate", (Notice("There is none: nothing is proved of this run's scores.", "warn"),))
    facts = [
        Fact(
            "verdict",
            "passed" if found.passed else "failed",
            f"track {found.track}, profile {found.profile}",
            "good" if found.passed else "bad",
        )
    ]
    if found.looked_at is not None:
        told = "positions, priced again without the future"
        if found.planned is not None and found.planned > found.looked_at:
            told = f"positions of {found.planned:,} planned, priced again without the future"
        facts.append(Fact("looked at", whole(found.looked_at), told))
    if found.drawn is not None:
        facts.append(Fact("n", whole(found.drawn), "of them drawn evenly"))
    if found.bound is not None:
        facts.append(Fact("bound", f"{100 * found.bound:.2f} %", "of all positions at most differ, at 95 %, by n"))
    if found.decoded is not None:
        facts.append(Fact("decoded", whole(found.decoded), "tokens, from their bytes alone"))
    rows = tuple(
        (
            f"({probe.letter}) {probe.name}",
            "passed" if probe.passed else "failed",
            probe.message,
            number(probe.seconds, 1),
        )
        for probe in found.probes
    )
    notes = () if page.which == "final" else ("the certificate is about the final score",)
    table = Table("Probes", ("probe", "verdict", "evidence", "seconds"), rows, notes)
    lead = f"Who scored and who was audited were kept apart by {found.isolation}, and ran {found.code}."
    return Section("Certificate", (KeyFacts(tuple(facts)), table), lead)
