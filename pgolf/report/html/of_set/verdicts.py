"""What the runs come to together: how many, and whether they beat what they are held against."""

from __future__ import annotations

from collections.abc import Iterator

from pgolf.report.html.parts import Fact, KeyFacts, Notice, Part, Section
from pgolf.report.html.subject import SetPage

PLACE = 10


def section(page: SetPage) -> Section:
    return Section("Overview", tuple(_parts(page)))


def _parts(page: SetPage) -> Iterator[Part]:
    runs = [run for run in page.report.runs if not run.claimed]
    claims = len(page.report.runs) - len(runs)
    counted = [run for run in runs if not run.excluded]
    left_out = len(runs) - len(counted)
    facts = [
        Fact("experiments", f"{len(page.experiments):,}"),
        Fact("runs that count", f"{len(counted):,}", f"of {len(runs):,}", "good" if counted else "warn"),
        Fact(
            "runs that do not", f"{left_out:,}", "each named at the end" if left_out else "", "warn" if left_out else ""
        ),
    ]
    if claims:
        facts.append(Fact("published claims", f"{claims:,}", "proved by nobody here", "warn"))
    if page.report.problems:
        facts.append(Fact("remarks on folders", f"{len(page.report.problems):,}", "each named at the end", "warn"))
    known = [one for one in page.report.ours if one.bpb is not None]
    if known:
        best = min(known, key=lambda one: one.bpb.mean if one.bpb else 0.0)
        assert best.bpb is not None
        seeds = f"{best.bpb.n} seed{'s' * (best.bpb.n != 1)}"
        facts.append(Fact("lowest mean, bits per byte", f"{best.bpb.mean:.4f}", f"{page.label(best)}, {seeds}"))
    yield KeyFacts(tuple(facts))
    for comparison in page.report.comparisons:
        won = comparison.verdict in ("better", "a record by the rule")
        yield Notice(f"{comparison.table.title}: {comparison.sentence}", "good" if won else "")
