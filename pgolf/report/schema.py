"""submission.json as pgolf writes it: one schema, checked when it is written and when it is read.

Published files call the same things by many names and leave open what a total is of; here ``bytes_total`` is the
largest submission of the seeds, every mean is over the seeds, and every run of the config is disclosed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.report.agreement import disagreement
from pgolf.report.statistics import Sample

SCHEMA = "pgolf-submission-1"
BYTES_TOTAL_IS = "the largest of the seeds"
_ROUNDED = 1e-9


@dataclass(frozen=True, slots=True)
class Field:
    """``kind``: ``text``, ``whole``, ``number``, ``flag``, ``list`` or ``mapping``; ``open``: null is allowed."""

    kind: str
    open: bool = False


_TEXT, _WHOLE, _NUMBER, _FLAG = Field("text"), Field("whole"), Field("number"), Field("flag")
_PERHAPS = Field("number", open=True)

FIELDS: Mapping[str, Field] = {
    "schema": _TEXT,
    **dict.fromkeys(("author", "github_id", "name", "blurb", "date", "track"), _TEXT),
    **dict.fromkeys(("val_bpb", "val_loss"), _NUMBER),
    **dict.fromkeys(("val_bpb_std", "val_loss_std"), _PERHAPS),
    "seeds": Field("list"),
    "seed_results": Field("mapping"),
    **dict.fromkeys(("bytes_total", "bytes_code", "bytes_cap", "artifact_bytes_max"), _WHOLE),
    "bytes_total_is": _TEXT,
    **dict.fromkeys(("artifact_bytes_mean", "train_steps_mean", "step_avg_ms_mean"), _PERHAPS),
    **dict.fromkeys(("data", "split", "metric", "method"), _TEXT),
    **dict.fromkeys(("text_bytes", "tokens"), _WHOLE),
    **dict.fromkeys(("hardware", "pytorch_version", "config_hash", "code_sha256"), _TEXT),
    "git_sha": Field("text", open=True),
    "checks": Field("list"),
    "comparison": Field("list"),
    "seed_results_all_runs_disclosure": Field("list"),
}
SEED_FIELDS: Mapping[str, Field] = {
    **dict.fromkeys(("seed", "rerun", "artifact_bytes", "steps"), _WHOLE),
    **dict.fromkeys(("val_bpb", "val_loss"), _NUMBER),
    **dict.fromkeys(("pre_quant_val_bpb", "quantized_val_bpb", "step_avg_ms", "train_time_s", "eval_time_s"), _PERHAPS),
    **dict.fromkeys(("artifact_sha256", "isolation"), _TEXT),
    "certificate_passed": _FLAG,
}
CHECK_FIELDS: Mapping[str, Field] = {"rule": _TEXT, "passed": Field("flag", open=True), "told": _TEXT}
RUN_FIELDS: Mapping[str, Field] = {
    **dict.fromkeys(("run", "reason"), _TEXT),
    **dict.fromkeys(("seed", "rerun"), Field("whole", open=True)),
    "val_bpb": _PERHAPS,
    "counted": _FLAG,
}


def problems_of(node: Any) -> list[str]:
    """What is wrong with a submission: fields, their kinds, and what must be the mean or the largest of others."""
    if not isinstance(node, Mapping) or node.get("schema") != SCHEMA:
        return [f"schema: not {SCHEMA}"]
    found = list(_wrong(node, FIELDS, ""))
    for name, fields in (("checks", CHECK_FIELDS), ("seed_results_all_runs_disclosure", RUN_FIELDS)):
        rows = node.get(name)
        for index, row in enumerate(rows if isinstance(rows, list) else ()):
            found += _wrong(row, fields, f"{name}[{index}].")
    results = node.get("seed_results")
    seeds = dict(results) if isinstance(results, Mapping) else {}
    for tag, row in seeds.items():
        found += _wrong(row, SEED_FIELDS, f"seed_results.{tag}.")
    if not found:
        found += _sums(node, list(seeds.values()))
    return found


def _wrong(node: Any, fields: Mapping[str, Field], place: str) -> Iterator[str]:
    if not isinstance(node, Mapping):
        yield f"{place.rstrip('.')}: {node!r} is no mapping"
        return
    yield from (f"{place}{name}: missing" for name in fields if name not in node)
    yield from (f"{place}{name}: no field of {SCHEMA}" for name in node if name not in fields)
    for name, field in fields.items():
        if name in node and not _is(node[name], field):
            yield f"{place}{name}: {node[name]!r} is no {field.kind}"


def _is(value: Any, field: Field) -> bool:
    if value is None:
        return field.open
    if field.kind == "flag" or isinstance(value, bool):
        return field.kind == "flag" and isinstance(value, bool)
    if field.kind == "number":
        return isinstance(value, int | float) and math.isfinite(value)
    types = {"text": str, "whole": int, "list": list, "mapping": Mapping}
    return isinstance(value, types[field.kind])


def _sums(node: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not seeds:
        yield "seed_results: no seed"
        return
    by_seed: dict[int, list[Mapping[str, Any]]] = {}
    by_artifact: dict[str, set[int]] = {}
    for row in seeds:
        by_seed.setdefault(row["seed"], []).append(row)
        by_artifact.setdefault(row["artifact_sha256"], set()).add(row["seed"])
        apart = disagreement({**row, "tokens": node["tokens"], "bytes": node["text_bytes"]})
        if apart:
            yield f"seed_results: seed {row['seed']}: {apart}"
    for same in by_artifact.values():
        if len(same) > 1:
            yield f"seed_results: seeds {', '.join(map(str, sorted(same)))} have one artifact: they are one training"
    if sorted(by_seed) != sorted(node["seeds"]):
        yield f"seeds: {node['seeds']}, but the results are of {sorted(by_seed)}"
    for name in ("val_bpb", "val_loss"):
        sample = Sample.of([math.fsum(row[name] for row in rows) / len(rows) for rows in by_seed.values()])
        for what, stated, value in ((name, node[name], sample.mean), (f"{name}_std", node[f"{name}_std"], sample.std)):
            if (stated is None) != (value is None) or (value is not None and abs(stated - value) > _ROUNDED):
                yield f"{what}: {stated} is stated, {value} is that of the seeds"
    largest = max(row["artifact_bytes"] for row in seeds)
    for name in ("bytes_total", "artifact_bytes_max"):
        if node[name] != largest:
            yield f"{name}: {node[name]:,} is stated, {largest:,} is the largest of the seeds"
