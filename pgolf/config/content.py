"""What of a composed config decides what a run computes, and what only steers it (style 12).

The run's name, the bundled script and ``pgolf requantize`` all go by these lists: a key that only steers is added
here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEERING = (
    *("run_root", "cache_dir", "overwrite", "rerun", "resume", "dry_run", "print_model", "stop_after"),
    *("notes", "hypothesis", "parent_run", "sweep", "certify", "eval_ranks"),
)
"""Where, whether and how often a run is written, what is said about it, and by how many it is scored."""

TRAIN_STEERING = ("processes",)
"""The same of ``train``: by how many a step's batch is shared out."""
STEERING_HOOKS = ("activations", "anomaly", "checkpoint", "controls", "norms", "timing")
"""Hooks that change nothing of what is trained, with their settings."""

BESIDE = ("seed", "logger", "machine", "choices", "hydra")
"""Neither content nor steering: what names repeat beside the content, and what accounts for the run."""

SIZE_KEYS = ("name", "shard_tokens", "eval_window", "eval_batch")
"""What is read of ``size`` when a run runs; every other key of it has gone into the nodes that refer to it."""


def content(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved nodes and facts of ``cfg`` that a run reads, in the order of ``cfg``."""
    kept = {key: value for key, value in cfg.items() if key not in STEERING and key not in BESIDE}
    kept["train"] = {key: value for key, value in cfg["train"].items() if key not in TRAIN_STEERING}
    hooks = {name: node for name, node in cfg["hook"].items() if name not in STEERING_HOOKS}
    return kept | {"size": {key: cfg["size"][key] for key in SIZE_KEYS}, "hook": hooks}
