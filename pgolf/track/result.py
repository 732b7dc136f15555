"""result.json: what one run came to, written even when it failed (decisions 18).

Every key is always there; a stage that was not reached is null. Beyond decisions 18 it holds ``status`` and
``reason``, what ended the training, and the two facts without which ``bytes_total`` cannot be read: the
label of the code bytes and whether the tokenizer is counted. ``ledger``: see ``pgolf.track.ledger``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import RunError
from pgolf.core.json_text import parse_json
from pgolf.core.results import Artifact, Certificate, Score, TrainResult
from pgolf.track.jsonable import to_json, to_plain
from pgolf.track.whole import half

SCHEMA_VERSION = 1
RESULT_NAME = "result.json"

Status = Literal["finished", "over_cap", "over_time", "certificate_failed", "interrupted", "nan_loss", "failed"]
STATUSES: tuple[str, ...] = get_args(Status)

# These ran to their end and gave a number, legal or not; such a folder is never overwritten unasked.
COMPLETE: tuple[str, ...] = ("finished", "over_cap", "over_time", "certificate_failed")

SCORE_NAMES = ("dev", "prequant", "roundtrip", "final")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Who this run is. ``rerun`` counts from 1; ``git_sha`` and ``dirty`` are None without a repository.

    ``sweep``: whose job it is, if any's.
    """

    name: str
    seed: int
    rerun: int
    git_sha: str | None
    dirty: bool | None
    config_hash: str
    command: str
    sweep: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``params`` counts each shared parameter once; ``size`` is the name of the size preset."""

    params: int
    size: str


def build_result(
    *,
    status: Status,
    reason: str,
    run: RunFacts,
    budget: Mapping[str, Any],
    ledger: Mapping[str, float],
    model: ModelFacts | None = None,
    train: TrainResult | None = None,
    artifact: Artifact | None = None,
    scores: Mapping[str, Score] | None = None,
    certificate: Certificate | None = None,
    cpu_share: Mapping[str, float] | None = None,
    anomalies: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The mapping that result.json holds. ``scores`` is keyed by ``dev``, ``prequant``, ``roundtrip``, ``final``.

    ``reason`` is one sentence for the reader, empty for a run that simply finished. ``cpu_share``: by stage, what
    part of its core's time it got; far below 1 the machine was busy. ``anomalies``: what was odd in training, each with
    ``step``, ``kind``, ``text`` and what that was read from (``pgolf.hook.anomaly``).
    """
    assert status in STATUSES, status
    scores = scores or {}
    assert set(scores) <= set(SCORE_NAMES), sorted(scores)
    return to_plain(
        {
            "schema_version": SCHEMA_VERSION,
            "status": status,
            "reason": reason,
            "run": asdict(run),
            "model": asdict(model) if model else None,
            "train": _train_facts(train) if train else None,
            "artifact": _artifact_facts(artifact) if artifact else None,
            "scores": {name: scores[name].as_dict() if name in scores else None for name in SCORE_NAMES},
            "ledger": dict(ledger),
            "cpu_share": dict(cpu_share or {}),
            "anomalies": list(anomalies),
            "certificate": certificate.as_dict() if certificate else None,
            "budget": dict(budget),
        }
    )


def _train_facts(train: TrainResult) -> dict[str, Any]:
    return {
        "seconds": train.seconds,
        "seconds_before": train.seconds_before,
        "steps": train.steps,
        "tokens": train.tokens,
        "tokens_per_second": train.tokens_per_second,
        "ms_per_step": train.ms_per_step,
        "stopped_by": train.stopped_by,
        "exported": train.exported,
    }


def _artifact_facts(artifact: Artifact) -> dict[str, Any]:
    return {
        "path": artifact.path,
        "bytes_total": artifact.bytes_total,
        "bytes_weights": artifact.bytes_weights,
        "bytes_packed": artifact.bytes_packed,
        "bytes_code": artifact.bytes_code,
        "bytes_tokenizer": artifact.bytes_tokenizer,
        "cap_bytes": artifact.cap_bytes,
        "sha256": artifact.sha256,
        "code_sha256": artifact.code_sha256,
        "code_label": artifact.code_label,
        "counts_tokenizer": artifact.counts_tokenizer,
    }


def write_result(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write ``folder/result.json`` in one step. Raises RunError when it cannot be written."""
    path = folder / RESULT_NAME
    write_text_atomic(path, to_json(result, indent=2) + "\n")
    return path


def read_result(folder: Path) -> dict[str, Any]:
    """Read the result of the run in ``folder`` (or in the file at this path).

    Raises RunError when there is none, when it is not a result of pgolf, or half a one, or of another version.
    """
    path = folder if folder.name == RESULT_NAME or folder.is_file() else folder / RESULT_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path}: there is no result here; the run did not get far, or this is no run folder") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    result = parse_json(raw, f"{path}: not a readable result", RunError)
    if not isinstance(result, dict) or not isinstance(result.get("schema_version"), int):
        raise RunError(f"{path}: not a result of pgolf: no schema_version in it")
    if result["schema_version"] != SCHEMA_VERSION:
        raise RunError(f"{path}: schema version {result['schema_version']}; this pgolf reads version {SCHEMA_VERSION}")
    if result.get("status") not in STATUSES:
        raise RunError(f"{path}: status {result.get('status')!r} is none of {', '.join(STATUSES)}")
    if problem := half(result, SCORE_NAMES):
        raise RunError(f"{path}: half a result: {problem}")
    return result
