"""Seconds by stage, and what of them is held against the budget."""

from __future__ import annotations

from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Key, Section
from pgolf.report.html.subject import RunPage, seconds_by_stage
from pgolf.track.ledger import CHARGED_TO, stage_of, stages_alone
from pgolf.track.words import duration

PLACE = 30
_COLOURS = {"train_seconds": 0, "eval_seconds": 1, "": 7}
_WORDS = {"train_seconds": "charged to training", "eval_seconds": "charged to evaluation", "": "in no budget"}


def section(page: RunPage) -> Section | None:
    if page.result is None:
        return None
    stages = seconds_by_stage(page)
    if not stages:
        return None
    ledger = dict(stages)
    total, longest = sum(stages_alone(ledger).values()), max(ledger.values())
    limits = {line: CHARGED_TO.get(stage_of(line, ledger), "") for line in ledger}
    rows = [Bar(line, f"{seconds:,.1f} s", (BarSpan(0, seconds, _COLOURS[limits[line]]),)) for line, seconds in stages]
    marks = [tick for tick in ticks(0, longest) if tick <= longest]
    keys = [Key(_WORDS[limit], _COLOURS[limit]) for limit in dict.fromkeys(limits.values())]
    fields, notes = page.fields, [f"{total:,.1f} s in all, {duration(total)}"]
    for limit, words in (("train_seconds", "training with calibration"), ("eval_seconds", "evaluation")):
        allowed = (fields.mapping("budget") or {}).get(limit)
        used = getattr(page.entry, limit) if page.entry else None
        if isinstance(allowed, int | float) and used is not None:
            notes.append(f"{words}: {used:,.1f} s by its own clock, of {allowed:g} allowed")
    if any(stage_of(line, ledger) != line for line in ledger):
        notes.append("what has a / is a part of its stage, whose threads work beside each other")
    labels = tuple(zip(marks, (f"{text} s" for text in numbers(marks)), strict=True))
    return Section("Time", (Bars("", tuple(rows), 0.0, longest or 1.0, labels, 0.0, tuple(keys), tuple(notes)),))
