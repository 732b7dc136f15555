"""Tables of experiments that others kept, such as #687's experiments.csv and #1026's results.tsv, a row an entry.

What such tables teach is kept: a row whose score is a word is named with it, not dropped.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from pathlib import Path

from pgolf.core.errors import RunError
from pgolf.report.entry import ReportedRun
from pgolf.report.published_log import CAP_BYTES

_NAMES = ("name", "id", "commit")
_REMARKS = ("run_command", "description", "notes")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_HOURS_IN_SECONDS = 36_000.0  # no evaluation took ten hours; such a number is milliseconds
_SIZE_IN_WORDS = re.compile(r"(\d+\.\d+) ?MB", re.IGNORECASE)
_ROUNDED_MB = 0.0501
_STEPS_IN_WORDS = re.compile(r"([\d,]+) steps @ ?([\d.]+) ?ms")
_FAILED = ("crash", "fail", "oom")


def read_table(path: Path) -> list[ReportedRun]:
    """Raises RunError for a file that is no such table."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=_SEPARATORS[path.suffix.lower()])
            header = list(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as a table ({error})") from error
    name_column = next((name for name in _NAMES if name in header), None)
    if "run_id" in header:
        raise RunError(f"{path}: the table of pgolf's own runs; name their folder as PATH")
    if name_column is None or "val_bpb" not in header:
        raise RunError(
            f"{path}: no table of experiments: it has {', '.join(header) or 'no columns'}, not name and val_bpb"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise RunError(f"{path}: no table of experiments: the column {', '.join(twice)} is there twice")
    if not rows:
        raise RunError(f"{path}: a table without rows")
    seen: dict[str, int] = {}
    entries = []
    for line, row in enumerate(rows, 2):
        name = (row.get(name_column) or "").strip() or f"row {line}"
        entries.append(_entry(path, name, line, row, seen.get(name)))
        seen.setdefault(name, line)
    return entries


def _entry(path: Path, name: str, line: int, row: Mapping[str, str | None], before: int | None) -> ReportedRun:
    remark = next((row[key] or "" for key in _REMARKS if row.get(key)), "")
    notes = [f"the name stands in row {before} too"] if before else []
    total = _bytes(row)
    in_words = _SIZE_IN_WORDS.search(remark)
    if total is not None and in_words and abs(total / 1e6 - float(in_words[1])) > _ROUNDED_MB:
        notes.append(f"{total / 1e6:.2f} MB stand in its column, {in_words[1]} MB in its remark")
    evaluated = _number(row.get("eval_wall_sec"))
    if evaluated is not None and evaluated > _HOURS_IN_SECONDS:
        notes.append(f"eval_wall_sec {evaluated:g} can be no seconds; read as milliseconds")
        evaluated /= 1000
    steps = _STEPS_IN_WORDS.search(remark)
    bpb = _number(row.get("val_bpb"))
    return ReportedRun(
        source=Path(f"{path}:{line}"),
        name=name,
        key=f"row {line}",
        seed=None,
        steps=int(steps[1].replace(",", "")) if steps else None,
        ms_per_step=float(steps[2]) if steps else _number(row.get("step_avg_ms")),
        train_seconds=_number(row.get("train_wall_sec")),
        eval_seconds=evaluated,
        prequant_bpb=_number(row.get("pre_quant_bpb")) or _number(row.get("pre_ttt_bpb")),
        val_bpb=bpb,
        bytes_total=total,
        cap_bytes=CAP_BYTES,
        claimed=True,
        excluded=_why_not(row, bpb, total),
        notes=tuple(notes),
    )


def _why_not(row: Mapping[str, str | None], bpb: float | None, total: int | None) -> str:
    status = (row.get("status") or "").strip()
    if bpb is None:
        return f"its val_bpb is {row.get('val_bpb') or 'empty'!r}, no number"
    if status.lower().startswith(_FAILED) or (row.get("crashed") or "").lower() == "true" or bpb <= 0:
        return f"did not end: status {status or 'unknown'!r}, val_bpb {bpb:g}"
    if total is not None and total > CAP_BYTES:
        return f"{total - CAP_BYTES:,} bytes over the cap of {CAP_BYTES:,}"
    return ""


def _bytes(row: Mapping[str, str | None]) -> int | None:
    total = _number(row.get("file_size_bytes"))
    megabytes = _number(row.get("artifact_mb"))
    return int(total) if total is not None else None if megabytes is None else round(megabytes * 1e6)


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
