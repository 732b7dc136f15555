"""Where each run's seconds went and what its bytes are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgolf.core.errors import RunError
from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Key, Section
from pgolf.report.html.subject import RunPage, SetPage, seconds_by_stage
from pgolf.track.ledger import CHARGED_TO, stages_alone

PLACE = 60
MOST_RUNS = 120
_TIMES = {"train_seconds": "charged to training", "eval_seconds": "charged to evaluation", "": "in no budget"}
_BYTES = {"weights": "weights", "packed": "packed counts", "code": "code", "tokenizer": "tokenizer"}


def section(page: SetPage) -> Section | None:
    runs = [(page.run_label(one, run), run) for one in page.report.ours for run in page.pages_of(one)]
    parts = [
        made
        for made in (
            _rows("Seconds", runs, _seconds, _TIMES, " s"),
            _rows("Bytes", runs, _bytes, _BYTES, ""),
        )
        if made is not None
    ]
    return Section("Seconds and bytes", tuple(parts)) if parts else None


def _rows(
    title: str,
    runs: list[tuple[str, RunPage]],
    of: Callable[[RunPage], dict[str, float]],
    kinds: Mapping[str, str],
    unit: str,
) -> Bars | None:
    rows, longest = [], 0.0
    names = list(kinds)
    for label, run in runs[:MOST_RUNS]:
        try:
            found = of(run)
        except RunError as error:
            rows.append(Bar(label, str(error).removeprefix(f"{run.folder}: "), kind="warn"))
            continue
        spans, at = [], 0.0
        for name, value in found.items():
            spans.append(BarSpan(at, at + value, names.index(name), f"{kinds[name]} {value:,.0f}{unit}"))
            at += value
        rows.append(Bar(label, f"{at:,.0f}{unit}" if spans else "-", tuple(spans)))
        longest = max(longest, at)
    if not longest:
        return None
    marks = [tick for tick in ticks(0, longest) if tick <= longest]
    labels = tuple(zip(marks, (text + unit for text in numbers(marks)), strict=True))
    notes = (f"{len(runs) - MOST_RUNS} more runs are left out",) if len(runs) > MOST_RUNS else ()
    keys = tuple(Key(words, number) for number, words in enumerate(kinds.values()))
    return Bars(title, tuple(rows), 0.0, longest, labels, 0.0, keys, notes)


def _seconds(run: RunPage) -> dict[str, float]:
    found = dict.fromkeys(_TIMES, 0.0)
    ledger = dict(seconds_by_stage(run)) if run.result is not None else {}
    for stage, seconds in stages_alone(ledger).items():
        found[CHARGED_TO.get(stage, "")] += seconds
    return {name: seconds for name, seconds in found.items() if seconds}


def _bytes(run: RunPage) -> dict[str, float]:
    if run.result is None or run.fields.mapping("artifact") is None:
        return {}
    found = {name: float(run.fields.whole(f"artifact.bytes_{name}")) for name in _BYTES}
    if not run.fields.flag("artifact.counts_tokenizer"):
        found["tokenizer"] = 0.0
    return {name: size for name, size in found.items() if size}
