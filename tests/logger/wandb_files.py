"""What W&B keeps of an offline run, read back. The format is private to W&B: a LevelDB log of protobuf records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK, _FILE_HEADER, _RECORD_HEADER = 32768, 7, 7
_FULL, _LAST = 1, 4


@dataclass
class Part:
    """One file: the run it says it is, the rows of its history, its summary, axes of its metrics, files uploaded."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)


def parts(folder: Path) -> list[Part]:
    """Every part of the run whose files are in ``folder``/wandb, in the order they were begun."""
    return [_part(path) for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]


def _part(path: Path) -> Part:
    part = Part()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        part.kinds.append(kind)
        if kind == "run":
            part.run = record.run
            part.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            part.rows.append({_key(item): json.loads(item.value_json) for item in record.history.item})
        elif kind == "summary":
            part.summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
        elif kind == "metric":
            part.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            part.artifacts.append(record.artifact)
        elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            part.artifacts.append(record.request.log_artifact.artifact)
    return part


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def records(path: Path) -> Any:
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), _FILE_HEADER, b""
    while place + _RECORD_HEADER <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _RECORD_HEADER:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if kind == 0:
            break
        whole += data[place + _RECORD_HEADER : place + _RECORD_HEADER + length]
        place += _RECORD_HEADER + length
        if kind in (_FULL, _LAST):
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record
