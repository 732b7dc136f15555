"""The one table from config groups to packages (style 1). A test reads it and fails on any orphan.

``runtime`` names the constructor arguments that are objects made earlier in the run, passed by keyword;
every other constructor argument must stand in the group's YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Group:
    """``path`` as typed on the command line; ``many`` marks choose-many groups; ``facts`` have no code.

    ``frame`` is the class that every option of the group is put into: its keywords stand in the options' YAML too.
    """

    path: str
    runtime: tuple[str, ...] = ()
    many: bool = False
    facts: bool = False
    frame: str | None = None
    newer: bool = False  # saved configs may be older than the group: those had its none

    @property
    def package(self) -> str:
        return "pgolf." + self.path.replace("/", ".")

    @property
    def key(self) -> str:
        """Where the group's node lies in the composed config."""
        return "arch.addons" if self.path == "arch/addon" else self.path.replace("/", ".")


GROUPS: tuple[Group, ...] = (
    Group("size", facts=True),
    Group("budget", facts=True),
    Group("experiment", facts=True),
    Group("data"),
    Group("tokenizer"),
    Group("loader", runtime=("slices", "batch_tokens", "window", "accumulation", "rank", "world", "seed", "bos_id")),
    Group("arch", runtime=("vocab_size", "bos_id")),
    Group("arch/recurrence", runtime=("dims",)),
    Group("arch/lanes", runtime=("dims",)),
    Group("arch/mlp", runtime=("dims",)),
    Group("arch/attention", runtime=("dims",), frame="pgolf.arch.attention.layer.Attention"),
    Group("arch/init"),
    Group("arch/addon", many=True),
    Group("warm_start", newer=True),
    Group("optimizer", runtime=("model",)),
    Group("optimizer/orthogonal", runtime=("dtype",)),
    Group("optimizer/normalize"),
    Group("optimizer/decay"),
    Group("optimizer/sharding"),
    Group("schedule", runtime=("length",)),
    Group("curriculum"),
    Group("distillation"),
    Group("auxiliary", runtime=("model",), many=True),
    Group("averaging"),
    Group("hook", many=True),
    Group("qat"),
    Group("quant"),
    Group("quant/scale"),
    Group("quant/policy", runtime=("roles",)),
    Group("quant/pruning"),
    Group("quant/correction"),
    Group("quant/calibration"),
    Group("compressor"),
    Group("eval"),
    Group("ttt"),
    Group("ngram"),
    Group("mixer"),
    Group("logger", runtime=("folder", "say"), many=True),
)


def group_of(path: str) -> Group | None:
    return next((group for group in GROUPS if group.path == path), None)


def node_at(cfg: Mapping[str, Any], key: str) -> Any:
    """What a composed config has at a dotted key; None where the way to it ends."""
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def technique_groups() -> Iterator[Group]:
    """The groups that choose an implementation."""
    return (group for group in GROUPS if not group.facts)
