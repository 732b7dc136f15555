"""Run folders as runs leave them, with chosen scores; what a report reads of them and nothing else."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import yaml

from pgolf.core.results import Artifact, Certificate, ProbeResult, Score, TrainResult
from pgolf.track.result import ModelFacts, RunFacts, build_result, write_result

CAP = 1_000_000


def config(**changes: Any) -> dict[str, Any]:
    """A small config in the shape of a saved one. ``changes``: by dotted key with __ for the dot, as choices first."""
    cfg: dict[str, Any] = {
        "seed": 1,
        "size": {"name": "tiny", "shard_tokens": 1, "eval_window": 8, "eval_batch": 1, "layers": 2},
        "budget": {"name": "laptop", "train_seconds": 300.0, "train_steps": None, "eval_seconds": 300.0},
        "data": {"_target_": "pgolf.data.sotu.Sotu"},
        "arch": {"mlp": {"_target_": "pgolf.arch.mlp.relu2.ReLU2"}, "qk_gain": 1.5, "addons": {}},
        "optimizer": {"matrix_lr": 0.02},
        "mixer": {"_target_": "pgolf.mixer.none.NoMixer"},
        "run_root": "/somewhere/runs",
        "cache_dir": ".cache",
        "notes": "",
        "choices": {"arch": "baseline", "arch/mlp": "relu2", "mixer": "none", "data": "sotu", "arch/addon": {}},
        "machine": {"hardware": "a machine", "torch": "2.13.0"},
    }
    for dotted, value in changes.items():
        node, keys = cfg, dotted.split("__")
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1].replace("_of_", "/")] = value
    return cfg


def score(bpb: float, split: str, **changes: Any) -> Score:
    tokens, bytes_ = changes.get("tokens", 1000), changes.get("bytes", 4000)
    facts = {
        "val_loss": bpb * bytes_ * math.log(2) / (tokens or 1),
        "val_bpb": bpb,
        "side_bits": 0.0,
        "sum_p_mean": 1.0,
        "sum_p_max": 1.0,
        "claimed_bpb": bpb,
        "renormalised_bpb": bpb,
        "method": "sliding",
        "window": 8,
        "stride": 4,
        "metric": "raw",
        "split": split,
        "subset": False,
        "tokens": tokens,
        "bytes": bytes_,
        "seconds": 61.0,
        "valid": split == "val",
    }
    return Score(**(facts | changes))


def write_run(
    root: Path,
    name: str,
    seed: int,
    bpb: float | None,
    *,
    rerun: int = 1,
    status: str = "finished",
    reason: str = "",
    bytes_total: int = 900_000,
    passed: bool = True,
    cfg: dict[str, Any] | None = None,
    key: str | None = None,
    seconds: float = 290.0,
    seconds_of_score: float = 61.0,
    isolation: str = "landlock 7",
    folder: Path | None = None,
    **changes: Any,
) -> Path:
    """Write ``root/name/seed=<seed>``; ``bpb`` None: without a final score. ``changes``: of that score."""
    folder = folder or root / name / (f"seed={seed}" + ("" if rerun == 1 else f".r{rerun}"))
    folder.mkdir(parents=True)
    cfg = (cfg or config()) | {"seed": seed}
    own = {k: v for k, v in cfg.items() if k not in ("seed", "machine", "run_root", "notes")}
    key = key or hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
    scores = {"dev": score((bpb or 1.3) + 0.01, "dev"), "prequant": score(1.30, "dev"), "roundtrip": score(1.31, "dev")}
    if bpb is not None:
        scores["final"] = score(bpb, "val", **({"seconds": seconds_of_score} | changes))
    probe = ProbeResult("a", "normalised", passed, {}, "" if passed else "rows sum to 1.5", 0.1)
    artifact = Artifact(
        path=folder / "artifact.pgolf",
        bytes_total=bytes_total,
        bytes_weights=bytes_total - 60_000,
        bytes_code=50_000,
        bytes_tokenizer=10_000,
        bytes_by_role={},
        cap_bytes=CAP,
        counts_tokenizer=True,
        code_label="bundle",
        sha256=hashlib.sha256(f"{name}{seed}{rerun}{bpb}".encode()).hexdigest(),
        code_sha256="c" * 64,
    )
    result = build_result(
        status=status,  # type: ignore[arg-type]
        reason=reason,
        run=RunFacts(name, seed, rerun, "a" * 40, False, key, f"python train.py seed={seed}"),
        budget=dict(cfg["budget"]) | {"cap_bytes": CAP},
        ledger={"train": seconds, "calibrate": 2.0, "evaluate": 62.0},
        model=ModelFacts(1_500_000, "tiny"),
        train=TrainResult({}, seconds, 1000, 4_000_000, "wallclock"),
        artifact=artifact,
        scores=scores,
        certificate=None if bpb is None else Certificate((probe,), "raw", "A", isolation, "counted script"),
    )
    write_result(folder, result)
    (folder / "config.yaml").write_text(yaml.safe_dump(cfg, sort_keys=False))
    return folder


def write_seeds(root: Path, name: str, scores: list[float], **changes: Any) -> Path:
    """One run a score, seeds from 1."""
    for seed, bpb in enumerate(scores, 1):
        write_run(root, name, seed, bpb, **changes)
    return root / name
