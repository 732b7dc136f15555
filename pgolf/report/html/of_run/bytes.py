"""What the submission weighs, by part, against its cap."""

from __future__ import annotations

from pgolf.artifact import container
from pgolf.artifact.header import PACKED, TOKENIZER
from pgolf.bundle.folder import ARTIFACT_NAME
from pgolf.core.errors import UserError
from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Key, Section
from pgolf.report.html.subject import RunPage

PLACE = 40


def section(page: RunPage) -> Section | None:
    if page.result is None or page.fields.mapping("artifact") is None:
        return None
    fields = page.fields
    parts = {name: fields.whole(f"artifact.bytes_{name}") for name in ("weights", "packed", "code", "tokenizer")}
    total, cap = fields.whole("artifact.bytes_total"), fields.whole("artifact.cap_bytes")
    counts_tokenizer = fields.flag("artifact.counts_tokenizer")
    rows, notes = [], []
    try:
        roles = container.bytes_by_role(container.contents(page.folder / ARTIFACT_NAME))
        roles = {role: size for role, size in roles.items() if role not in (PACKED, TOKENIZER)}
        if sum(roles.values()) != parts["weights"]:
            notes.append(f"{ARTIFACT_NAME} in the folder is not the file of the result: {sum(roles.values()):,} bytes")
            roles = {}
    except UserError as error:
        notes.append(f"weights by role are not known: {error}".replace(f"{page.folder}/", ""))
        roles = {}
    for role, size in sorted(roles.items(), key=lambda item: -item[1]) or [("", parts["weights"])]:
        rows.append(Bar(f"weights: {role}" if role else "weights", f"{size:,}", (BarSpan(0, size, 0),)))
    if parts["packed"]:
        rows.append(Bar("packed counts of training text", f"{parts['packed']:,}", (BarSpan(0, parts["packed"], 1),)))
    rows.append(
        Bar(f"code ({fields.text('artifact.code_label')})", f"{parts['code']:,}", (BarSpan(0, parts["code"], 2),))
    )
    counted = "" if counts_tokenizer else " (not counted)"
    rows.append(Bar(f"tokenizer{counted}", f"{parts['tokenizer']:,}", (BarSpan(0, parts["tokenizer"], 3),)))
    left = cap - total
    rows.append(
        Bar(
            "total",
            f"{total:,}",
            (BarSpan(0, min(total, cap), 7), *((BarSpan(cap, total, 6, "over the cap"),) if left < 0 else ())),
            kind="bad" if left < 0 else "",
        )
    )
    high = max(total, cap) or 1
    marks = [tick for tick in ticks(0, high) if tick <= high]
    told = f"{total:,} of {cap:,} bytes, {100 * total / cap:.1f} %" if cap else f"{total:,} bytes"
    notes.insert(0, f"{told}; {abs(left):,} {'left' if left >= 0 else 'over the cap'}")
    notes.append(f"SHA-256 of the artifact {fields.text('artifact.sha256')}")
    labels = tuple(zip(marks, numbers(marks), strict=True))
    keys = (Key("over the cap", 6),) if left < 0 else ()
    return Section("Bytes", (Bars("", tuple(rows), 0.0, float(high), labels, 0.0, keys, tuple(notes)),))
