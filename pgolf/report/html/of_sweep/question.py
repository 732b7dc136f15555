"""What the sweep asks, what it has answered, and how much of its grid there is."""

from __future__ import annotations

from pgolf.report.html.parts import Fact, KeyFacts, Notice, Pairs, Part, Section
from pgolf.report.html.subject import SweepPage

PLACE = 5


def section(page: SweepPage) -> Section:
    sweep = page.sweep
    heads = tuple((name.lower(), text) for name, text in sweep.file.heads.items() if text)
    scores, left = sum(len(arm.points) for arm in sweep.arms), len(sweep.unseen)
    known = [(arm, arm.sample) for arm in sweep.arms if arm.sample is not None]
    facts = [
        Fact("jobs in the grid", f"{sweep.jobs:,}", f"{len(sweep.arms):,} arms"),
        Fact("scores", f"{scores:,}", sweep.file.score if sweep.file.by == "train" else "dev"),
        Fact("jobs without a score", f"{left:,}", "each named below" if left else "", "warn" if left else "good"),
    ]
    if known:
        arm, sample = min(known, key=lambda one: one[1].mean)
        count = f"{sample.n} seed{'s' * (sample.n != 1)}"
        facts.append(Fact("lowest mean, bits per byte", f"{sample.mean:.4f}", f"{arm.words or 'as it is'}, {count}"))
    parts: list[Part] = [Pairs(heads)] if heads else []
    parts.append(KeyFacts(tuple(facts)))
    parts += [Notice(note) for note in sweep.notes]
    return Section("The sweep", tuple(parts))
