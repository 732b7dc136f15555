"""What a record's submission.json says, in the one schema of ``pgolf.report.schema``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.report.against import Comparison
from pgolf.report.checklist import Check, SeedFiles
from pgolf.report.entry import ReportedRun
from pgolf.report.experiments import Experiment
from pgolf.report.gather import Problem
from pgolf.report.schema import BYTES_TOTAL_IS, SCHEMA


@dataclass(frozen=True, slots=True)
class About:
    """What nobody but the author knows."""

    author: str
    github_id: str
    name: str
    blurb: str
    date: str


def seed_row(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a submission says of one seed, of the result.json of its run."""
    scores, train = result["scores"], result["train"]
    return {
        "seed": result["run"]["seed"],
        "rerun": result["run"]["rerun"],
        "val_bpb": scores["final"]["val_bpb"],
        "val_loss": scores["final"]["val_loss"],
        "pre_quant_val_bpb": (scores["prequant"] or {}).get("val_bpb"),
        "quantized_val_bpb": (scores["roundtrip"] or {}).get("val_bpb"),
        "artifact_bytes": result["artifact"]["bytes_total"],
        "artifact_sha256": result["artifact"]["sha256"],
        "steps": train["steps"],
        "step_avg_ms": train["ms_per_step"],
        "train_time_s": train["seconds"],
        "eval_time_s": scores["final"]["seconds"],
        "certificate_passed": result["certificate"]["passed"],
        "isolation": result["certificate"]["isolation"],
    }


def submission_of(
    about: About,
    one: Experiment,
    seeds: Sequence[SeedFiles],
    cfg: Mapping[str, Any],
    checks: Sequence[Check],
    comparisons: Sequence[Comparison],
    disclosed: Sequence[ReportedRun],
    unread: Sequence[Problem],
) -> dict[str, Any]:
    """What submission.json holds. ``disclosed``: every run of the config; ``unread``: folders that are no runs."""
    assert one.bpb is not None and one.loss is not None
    rows = {seed.tag: seed_row(seed.result) for seed in seeds}
    first, machine = seeds[0].result, cfg.get("machine") or {}
    scored = one.counted[0].scored
    assert scored is not None

    own = {run.identity for run in one.counted}

    def mean(name: str) -> float:
        return sum(row[name] for row in rows.values()) / len(rows)

    return {
        "schema": SCHEMA,
        "author": about.author,
        "github_id": about.github_id,
        "name": about.name,
        "blurb": about.blurb,
        "date": about.date,
        "track": "10min_16mb" if cfg["budget"]["name"] == "official" else str(cfg["budget"]["name"]),
        "val_bpb": one.bpb.mean,
        "val_loss": one.loss.mean,
        "val_bpb_std": one.bpb.std,
        "val_loss_std": one.loss.std,
        "seeds": list(one.seeds),
        "seed_results": rows,
        "bytes_total": max(row["artifact_bytes"] for row in rows.values()),
        "bytes_total_is": BYTES_TOTAL_IS,
        "bytes_code": first["artifact"]["bytes_code"],
        "bytes_cap": first["artifact"]["cap_bytes"],
        "artifact_bytes_max": max(row["artifact_bytes"] for row in rows.values()),
        "artifact_bytes_mean": mean("artifact_bytes"),
        "train_steps_mean": mean("steps"),
        "step_avg_ms_mean": mean("step_avg_ms"),
        "data": scored.data,
        "split": scored.split,
        "metric": scored.metric,
        "method": scored.method,
        "text_bytes": scored.bytes,
        "tokens": scored.tokens,
        "hardware": str(machine.get("hardware", "")),
        "pytorch_version": str(machine.get("torch", "")),
        "config_hash": one.key,
        "code_sha256": first["artifact"]["code_sha256"],
        "git_sha": first["run"]["git_sha"],
        "checks": [{"rule": check.rule, "passed": check.passed, "told": check.told} for check in checks],
        "comparison": [
            {
                "against": comparison.table.title,
                "verdict": comparison.verdict,
                "sentence": comparison.sentence,
                "tests": [dict(zip(comparison.table.header, row, strict=True)) for row in comparison.table.rows],
            }
            for comparison in comparisons
        ],
        "seed_results_all_runs_disclosure": [
            {
                "run": str(run.source),
                "seed": run.seed,
                "rerun": run.rerun,
                "val_bpb": run.val_bpb,
                "counted": run.identity in own and not run.excluded,
                "reason": run.excluded or ("" if run.identity in own else "left out"),
            }
            for run in disclosed
        ]
        + [
            {"run": str(one.path), "seed": None, "rerun": None, "val_bpb": None, "counted": False, "reason": one.reason}
            for one in unread
        ],
    }
