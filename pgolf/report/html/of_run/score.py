"""What the run came to: its score, whether it counts, and the scores on the way to it."""

from __future__ import annotations

from collections.abc import Iterator

from pgolf.core.errors import RunError
from pgolf.report.entry import Fields
from pgolf.report.html.parts import Fact, KeyFacts, Notice, Part, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.table import Table, number, whole
from pgolf.track.result import SCORE_NAMES

PLACE = 10
_LABELS = {"prequant": "before quantization", "roundtrip": "after quantization", "dev": "as composed", "final": "final"}


def section(page: RunPage) -> Section:
    return Section("Score", tuple(_parts(page)))


def _parts(page: RunPage) -> Iterator[Part]:
    entry = page.entry
    for problem in page.problems:
        yield Notice(problem, "warn")
    if entry is None or page.result is None:
        yield Notice("This run has no result that can be read; what follows is what its folder holds.", "bad")
        return
    if entry.excluded:
        yield Notice(f"Not counted: {entry.excluded}", "bad")
    yield KeyFacts(tuple(_facts(page)))
    for note in entry.notes:
        yield Notice(note)
    for comparison in page.report.comparisons:
        yield Notice(f"{comparison.table.title}: {comparison.sentence}", "good" if _won(comparison.verdict) else "")
        yield comparison.table
    yield _table(page.fields)


def _won(verdict: str) -> bool:
    return verdict in ("better", "a record by the rule")


def _facts(page: RunPage) -> Iterator[Fact]:
    entry, fields = page.entry, page.fields
    assert entry is not None
    status = fields.text("status").replace("_", " ")
    yield Fact("status", status, fields.text("reason"), "good" if status == "finished" else "bad")
    if entry.val_bpb is not None:
        what = "" if page.which == "final" else f" ({page.which})"
        loss = "" if entry.val_loss is None else f"{entry.val_loss:.4f} nats per token"
        yield Fact(f"bits per byte{what}", f"{entry.val_bpb:.4f}", loss, "bad" if entry.excluded else "good")
    if entry.bytes_total is not None and entry.cap_bytes is not None:
        left = entry.cap_bytes - entry.bytes_total
        told = f"of {entry.cap_bytes:,}, {abs(left):,} {'left' if left >= 0 else 'over'}"
        yield Fact("bytes", whole(entry.bytes_total), told, "good" if left >= 0 else "bad")
    if entry.train_seconds is not None:
        told = "" if entry.steps is None else f"{entry.steps:,} steps"
        told += "" if entry.ms_per_step is None else f" of {entry.ms_per_step:.0f} ms"
        yield Fact("training with calibration", f"{entry.train_seconds:,.1f} s", told)
    if entry.eval_seconds is not None:
        yield Fact("evaluation", f"{entry.eval_seconds:,.1f} s", entry.scored.method if entry.scored else "")
    if page.which == "final":
        kind = {"passed": "good", "failed": "bad"}.get(entry.certificate, "warn")
        yield Fact("certificate", entry.certificate or "none", entry.isolation, kind)  # type: ignore[arg-type]
    if fields.mapping("model") is not None:
        yield Fact("parameters", whole(fields.whole("model.params")), f"size {fields.text('model.size')}")


def _table(fields: Fields) -> Table:
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for name in sorted(SCORE_NAMES, key=list(_LABELS).index):
        if fields.mapping(f"scores.{name}") is None:
            continue

        def at(key: str, name: str = name) -> float | None:
            return fields.number(f"scores.{name}.{key}")

        def text(key: str, name: str = name) -> str:
            return fields.text(f"scores.{name}.{key}")

        window, stride = (fields.whole(f"scores.{name}.{key}") for key in ("window", "stride"))
        split = {"val": "validation"}.get(text("split"), text("split"))
        rows.append(
            (
                _LABELS[name],
                number(at("val_bpb"), 6),
                number(at("val_loss"), 6),
                split + (", subset" if fields.flag(f"scores.{name}.subset") else ""),
                whole(at("tokens")),
                whole(at("bytes")),
                f"{text('method')} {window}" + ("" if stride == window else f"/{stride}"),
                number(at("sum_p_mean"), 6),
                number(at("sum_p_max"), 6),
                number(at("renormalised_bpb"), 6),
                number(at("seconds"), 1),
            )
        )
    before, after = (_bpb(fields, name) for name in ("prequant", "roundtrip"))
    if before is not None and after is not None:
        notes.insert(0, f"quantization cost {after - before:+.4f} bits per byte")
    notes.append("Σp is what the probabilities of a row sum to; blank where targets alone were priced")
    header = ("score", "bpb", "nats/token", "split", "tokens", "bytes", "method")
    return Table("Scores", (*header, "mean Σp", "most Σp", "renormalised", "seconds"), tuple(rows), tuple(notes))


def _bpb(fields: Fields, name: str) -> float | None:
    try:
        return fields.number(f"scores.{name}.val_bpb")
    except RunError:  # the score is null
        return None
