"""runs/experiments.csv: one row per run, successful or not, safe to append to from several processes."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.track.ledger import within

TABLE_NAME = "experiments.csv"

COLUMNS: tuple[str, ...] = (
    *("run_id", "date_utc", "parent_run", "git_sha", "dirty", "config_hash", "overrides", "hypothesis"),
    *("hardware", "world_size", "seed", "train_seconds", "steps", "ms_per_step", "tokens_seen"),
    *("val_loss_prequant", "val_bpb_prequant", "val_bpb_quant", "val_bpb_sliding", "val_bpb_final"),
    *("eval_method", "eval_seconds", "calib_seconds", "params", "code_bytes", "model_bytes", "total_bytes"),
    *("valid_size", "valid_time", "valid_metric", "status", "notes"),
)


def row_from_result(
    result: Mapping[str, Any],
    *,
    overrides: Sequence[str],
    hardware: str,
    world_size: int,
    notes: str = "",
    parent_run: str = "",
    hypothesis: str = "",
    now: datetime | None = None,
) -> dict[str, Any]:
    """The row of one result.json. What was not measured is an empty cell.

    ``valid_size``: the total is within the cap. ``valid_time``: training, and evaluation, are within the budget
    (``ledger.within``). ``valid_metric``: the certificate passed, on all of validation. ``status`` and ``notes`` say
    the rest; a failed run's reason joins the notes.
    """
    run, train, artifact = result["run"], result["train"] or {}, result["artifact"] or {}
    scores = {name: score or {} for name, score in result["scores"].items()}
    final, ledger = scores["final"], result["ledger"]
    ordinal = "" if run["rerun"] == 1 else f".r{run['rerun']}"
    moment = now or datetime.now(timezone.utc)
    return {
        "run_id": f"{run['name']}/seed={run['seed']}{ordinal}",
        "date_utc": moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "parent_run": parent_run,
        "git_sha": run["git_sha"],
        "dirty": run["dirty"],
        "config_hash": run["config_hash"],
        "overrides": " ".join(overrides),
        "hypothesis": hypothesis,
        "hardware": hardware,
        "world_size": world_size,
        "seed": run["seed"],
        "train_seconds": train.get("seconds"),
        "steps": train.get("steps"),
        "ms_per_step": train.get("ms_per_step"),
        "tokens_seen": train.get("tokens"),
        "val_loss_prequant": scores["prequant"].get("val_loss"),
        "val_bpb_prequant": scores["prequant"].get("val_bpb"),
        "val_bpb_quant": scores["roundtrip"].get("val_bpb"),
        "val_bpb_sliding": final.get("val_bpb") if final.get("method") == "sliding" else None,
        "val_bpb_final": final.get("val_bpb"),
        "eval_method": final.get("method"),
        "eval_seconds": ledger.get("evaluate", final.get("seconds")),
        "calib_seconds": ledger.get("calibrate"),
        "params": (result["model"] or {}).get("params"),
        "code_bytes": artifact.get("bytes_code"),
        "model_bytes": artifact.get("bytes_weights"),
        "total_bytes": artifact.get("bytes_total"),
        "valid_size": artifact["bytes_total"] <= artifact["cap_bytes"] if artifact else None,
        "valid_time": within(result, "train_seconds") and within(result, "eval_seconds") if final else None,
        "valid_metric": _valid_metric(result["certificate"], final),
        "status": result["status"],
        "notes": "; ".join(part for part in (notes, result["reason"], _subset(final), _hook_only(result)) if part),
    }


def _valid_metric(certificate: Mapping[str, Any] | None, final: Mapping[str, Any]) -> bool | None:
    if not certificate or not final:
        return None
    return bool(certificate["passed"] and final["valid"] and not final["subset"])


def _subset(final: Mapping[str, Any]) -> str:
    return "subset" if final.get("subset") else ""


def _hook_only(result: Mapping[str, Any]) -> str:
    """What is said of a run whose score no kernel had a part in."""
    isolation = (result["certificate"] or {}).get("isolation", "")
    return f"isolation: {isolation}" if "audit hook" in isolation else ""


def check_table(path: Path) -> None:
    """Fail early: raise RunError when ``path`` holds another table or cannot be written."""
    with _locked(path) as table:
        _check_header(path, table)


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one row, writing the header first when the file is new or empty.

    A half-written last line, left by a crash, keeps its line and ours starts on the next.
    Raises RunError when ``path`` holds another table or cannot be written.
    """
    unknown = sorted(set(row) - set(COLUMNS))
    assert not unknown, unknown
    with _locked(path) as table:
        fresh = not _check_header(path, table)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in row.items()})
        try:
            end = table.seek(0, os.SEEK_END)
            if end:
                table.seek(end - 1)
                broken = table.read(1) != b"\n"
                table.seek(0, os.SEEK_END)
                if broken:
                    table.write(b"\n")
            table.write(text.getvalue().encode("utf-8", "backslashreplace"))
            table.flush()
            os.fsync(table.fileno())
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows, cells as text; an empty list when there is no table yet. Raises RunError as ``append_row``."""
    if not path.exists():
        return []
    with _locked(path) as table:
        if not _check_header(path, table):
            return []
        table.seek(0)
        return list(csv.DictReader(io.StringIO(table.read().decode("utf-8", "replace"), newline="")))


def _locked(path: Path) -> io.BufferedRandom:
    """Open for reading and appending, with an exclusive lock that ends when the file is closed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table = open(path, "a+b")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise RunError(f"{path}: cannot be opened for writing: {error.strerror or error}") from error
    try:
        fcntl.flock(table.fileno(), fcntl.LOCK_EX)
    except OSError as error:
        table.close()
        raise RunError(f"{path}: cannot be locked: {error.strerror or error}") from error
    return table


def _check_header(path: Path, table: io.BufferedRandom) -> bool:
    """False when the file is empty, True when it has our header. Raises RunError for any other."""
    table.seek(0)
    line = table.readline()
    if not line:
        return False
    found = next(csv.reader([line.decode("utf-8", "replace")]), [])
    if tuple(found) == COLUMNS:
        return True
    missing = [name for name in COLUMNS if name not in found]
    extra = [name for name in found if name not in COLUMNS]
    parts = [f"lacks {', '.join(missing)}"] if missing else []
    parts += [f"has unknown {', '.join(extra)}"] if extra else []
    raise RunError(
        f"{path}: not this version's table: its header {' and '.join(parts) or 'is in another order'}; move it aside"
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else value
