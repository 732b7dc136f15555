"""What an earlier attempt at a job has left: a finished run is kept, an unfinished one may be gone on with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.config.naming import config_hash, run_name
from pgolf.core.errors import CertificateError, OverBudget, RunError
from pgolf.track.folder import CHECKPOINTS
from pgolf.track.result import COMPLETE, read_result

_ANEW = ("overwrite", "rerun", "dry_run", "print_model")  # asked for whatever is there
_STATUS = {
    "over_cap": OverBudget.exit_status,
    "over_time": OverBudget.exit_status,
    "certificate_failed": CertificateError.exit_status,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A complete run of the same config and seed: what it would return again, and a line that says so."""

    folder: Path
    objective: float
    status: int
    line: str


def kept(cfg: Mapping[str, Any]) -> Kept | None:
    """The complete run that ``cfg`` would repeat; None where there is none, or where it is asked for anew."""
    if any(cfg[key] for key in _ANEW):
        return None
    for folder in _folders(cfg):
        try:
            result = read_result(folder)
        except RunError:
            continue
        if result["status"] not in COMPLETE or result["run"].get("config_hash") != config_hash(cfg):
            continue
        scores = result["scores"]
        found = {name: (scores.get(name) or {}).get("val_bpb") for name in ("prequant", "dev", "final")}
        told = ", ".join(f"{name} {bpb:.4f}" for name, bpb in found.items() if isinstance(bpb, float))
        objective = found["prequant"] if found["dev"] is None else found["dev"]
        if found[cfg["stop_after"] or "final"] is None:
            continue  # it stopped earlier than is asked for now; opening its folder says what can be done
        if result["status"] != "finished":
            told += f"; {result['status'].replace('_', ' ')}" + f": {result['reason']}" * bool(result["reason"])
        status = _STATUS.get(result["status"], 0)
        return Kept(
            folder,
            math.inf if status or objective is None else float(objective),
            status,
            f"kept {folder}: {told or 'without a score'}",
        )
    return None


def resumable(cfg: Mapping[str, Any]) -> bool:
    """Whether an unfinished run of ``cfg`` has left checkpoints; those need not fit."""
    if any(cfg[key] for key in _ANEW):
        return False
    last = list(_folders(cfg))[-1:]
    return any(any((folder / CHECKPOINTS).glob("*.ckpt")) for folder in last)


@dataclass(frozen=True, slots=True)
class Earlier:
    """``kept``: nothing is left to do; ``resumable``: there is a checkpoint to go on from, which need not fit."""

    kept: Kept | None
    resumable: bool


def earlier(cfg: Mapping[str, Any]) -> Earlier:
    found = kept(cfg)
    return Earlier(found, found is None and resumable(cfg))


def _folders(cfg: Mapping[str, Any]) -> Iterator[Path]:
    """Those of the run and its reruns, in their order."""
    place = Path(cfg["run_root"]) / run_name(cfg, cfg["choices"])
    pattern = re.compile(rf"seed={cfg['seed']}(?:\.r(\d+))?")
    found = ((int(match[1] or 1), path) for path in place.glob("seed=*") if (match := pattern.fullmatch(path.name)))
    return (path for _, path in sorted(found))
