"""Hold a finished config to its signatures: each node to its constructor's, each fact to its range.

Types and ranges are read from the annotations (``Annotated[int, Between(2, 8)]``). What spans groups, and what
only building can tell, is the business of ``pgolf.run.rules``.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from pgolf.config.groups import GROUPS, Group, node_at
from pgolf.config.schema import Certify, Root
from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.make import named, target_of
from pgolf.core.ranges import Between, Word

CERTIFY_ORDER = [profile.name for profile in Certify]
LEAST_PROOF = CERTIFY_ORDER[0]

LARGEST = 2**63 - 1
"""The largest whole number that tensors, shards and random generators take."""


def node_problems(cfg: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with single nodes and facts of the composed config ``cfg``."""
    for group in GROUPS:
        yield from _group_problems(group, cfg)
    yield from _fact_problems(cfg)


def _group_problems(group: Group, cfg: Mapping[str, Any]) -> Iterator[str]:
    if group.facts or not _wanted(group, cfg):
        return
    node = node_at(cfg, group.key)
    if group.many:
        for name, child in (node if isinstance(node, Mapping) else {}).items():
            yield from bind_problems(child, group, f"{group.key}.{name}")
    elif node is None:
        yield f"{group.path}: nothing chosen; say {group.path}=none where it should do nothing"
    elif isinstance(node, Mapping):  # else its parent's business, or that of type_problems
        yield from bind_problems(node, group, group.key)


def _wanted(group: Group, cfg: Mapping[str, Any]) -> bool:
    """False for a child group that the option chosen for its parent does not take: ``quant=none`` has no scale."""
    parent, _, child = group.key.rpartition(".")
    if not parent:
        return True
    node = node_at(cfg, parent)
    try:
        target = target_of(node if isinstance(node, Mapping) else {})
    except ConfigError:
        return False  # complained about at the parent
    hint = _hints(target).get(child)
    return get_origin(hint) in (dict, Mapping)


def _home(node: Mapping[str, Any], group: Group) -> Group:
    """The group whose package the node's target lies in; ``group`` where it is none."""
    package = str(node["_target_"]).rpartition(".")[0].rpartition(".")[0]
    return next((other for other in GROUPS if other.package == package), group)


def _child_group(group: Group, key: str) -> bool:
    return any(other.path == f"{group.path}/{key}" for other in GROUPS)


def _hints(target: Any) -> dict[str, Any]:
    return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def _contract(target: Any) -> tuple[dict[str, Any], dict[str, inspect.Parameter]]:
    """What may be passed to ``target`` by name: annotations and parameters."""
    parameters = inspect.signature(target).parameters
    return _hints(target), {
        name: p for name, p in parameters.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY
    }


def bind_problems(node: Mapping[str, Any], group: Group, place: str) -> Iterator[str]:
    """What keeps ``node`` from being passed to its target's constructor."""
    if not isinstance(node, Mapping):
        yield f"{place}: {node!r} is not a mapping"
        return
    try:
        target = target_of(node, place)
    except ConfigError as error:
        yield from error.problems
        return
    prefix = f"{group.package}."
    if not str(node["_target_"]).startswith(prefix):
        yield f"{place}: _target_ {node['_target_']!r} lies outside {group.package}"
        return
    hints, parameters = _contract(target)
    if group.frame is not None:
        frame_hints, frame = _contract(named(group.frame))
        hints, parameters = frame_hints | hints, parameters | frame
    parameters = {name: p for name, p in parameters.items() if name not in group.runtime}
    given = {key: value for key, value in node.items() if key != "_target_"}
    name = target.__name__
    takes = ", ".join(parameters) or "no settings"
    for key, value in given.items():
        if key not in parameters:
            yield f"{place}.{key}: {name} takes {takes}.{did_you_mean(key, list(parameters))}"
        elif key in hints:
            problem = value_problem(value, hints[key])
            if problem:
                yield f"{place}.{key}: {value!r} {problem}"
            elif isinstance(value, Mapping) and "_target_" in value and not _child_group(group, key):
                yield from bind_problems(value, _home(value, group), f"{place}.{key}")  # an option within another
    for key, parameter in parameters.items():
        if key not in given and parameter.default is inspect.Parameter.empty:
            yield f"{place}.{key}: missing; {name} takes {takes}"


def value_problem(value: Any, hint: Any) -> str | None:
    """None if ``value`` fits the annotation, else how it does not."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        problem = value_problem(value, args[0])
        if problem or value is None:  # ``Annotated[float, Between(…)] | None``: null has no range
            return problem
        broken = [r for r in args[1:] if isinstance(r, Between | Word) and not r.holds(value)]
        return f"is out of range: {broken[0]}" if broken else None
    if origin is Literal:
        text = ", ".join(str(arg) for arg in args)
        return None if value in args else f"is none of {text}.{did_you_mean(str(value), [str(a) for a in args])}"
    if origin in (Union, types.UnionType):
        complaints = [value_problem(value, arg) for arg in args]
        # The first complaint, not all: the first member of a union is what the option is meant to hold.
        return None if None in complaints else next(c for c in complaints if c)
    if hint is Any:
        return None
    if hint is type(None) or hint is None:
        return None if value is None else "is not null"
    if hint is float:  # YAML writes 1 for 1.0; true, which is an int to Python, is no number to a user
        return None if isinstance(value, (int, float)) and not isinstance(value, bool) else "is not a number"
    if hint is int:
        if not isinstance(value, int) or isinstance(value, bool):
            return "is not a whole number"
        return None if abs(value) <= LARGEST else f"is out of range: whole numbers end at {LARGEST}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (
            None
            if isinstance(value, str) and value in hint.__members__
            else f"is none of {', '.join(hint.__members__)}"
        )
    if isinstance(hint, type) and hint in (bool, str):
        return None if isinstance(value, hint) else f"is not {'true or false' if hint is bool else 'a text'}"
    if origin in (list, tuple, Sequence):
        if not isinstance(value, (list, tuple)):
            return "is not a list"
        return next((p for p in (value_problem(item, args[0]) for item in value) if p), None)
    if origin in (dict, Mapping):
        return None if isinstance(value, Mapping) else "is not a mapping"
    return None  # an annotation of our own kind: the constructor itself says what it does not take


def amount_problems(place: str, value: Any) -> Iterator[str]:
    """What keeps a fact from being an amount: more than 0, finite and, where it is whole, within 63 bits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not 0 < value < math.inf:
        yield f"{place}: {value!r} is out of range: more than 0 and finite"
    elif isinstance(value, int) and value > LARGEST:
        yield f"{place}: {value!r} is out of range: whole numbers end at {LARGEST}"


def type_problems(node: Mapping[str, Any], schema: type = Root, place: str = "") -> Iterator[str]:
    """Facts that are missing or of another type than the schema's, and groups that are no mappings: a config that Hydra
    composed has none of either, one that somebody saved may."""
    for name, hint in typing.get_type_hints(schema).items():
        dotted, value = f"{place}{name}", node.get(name)
        if get_origin(hint) is dict:  # a group that chooses an implementation, or several
            if not isinstance(value, Mapping) and (value is not None or name == "hook"):
                yield f"{dotted}: {value!r} is not a mapping"
        elif name not in node:
            yield f"{dotted}: missing"
        elif not dataclasses.is_dataclass(hint):
            problem = value_problem(value, hint)
            if problem:
                yield f"{dotted}: {value!r} {problem}"
        elif isinstance(value, Mapping):
            yield from type_problems(value, hint, f"{dotted}.")  # type: ignore[arg-type]
        else:
            yield f"{dotted}: {value!r} is not a mapping"


def budget_problems(budget: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the facts of a budget, one by one."""
    for key, value in budget.items():
        yield from amount_problems(f"budget.{key}", value)
    if budget["subset_tokens"] == 1:
        yield "budget.subset_tokens: 1 is out of range: at least 2"


def certify_problems(cfg: Mapping[str, Any]) -> Iterator[str]:
    """A score of all of validation, which may stand in a report, is not proved by the least there is; and by how many
    processes it is made."""
    yield from amount_problems("eval_ranks", cfg["eval_ranks"])
    if cfg["certify"] == LEAST_PROOF and cfg["budget"]["subset_tokens"] is None:
        more = ", ".join(CERTIFY_ORDER[1:])
        yield (
            f"certify: {LEAST_PROOF} is for a slice of validation (budget.subset_tokens); a score of all of it takes "
            f"one of {more}"
        )


def _fact_problems(cfg: Mapping[str, Any]) -> Iterator[str]:
    wrong = list(type_problems(cfg))
    yield from wrong
    sound = set(cfg) - {re.split("[.:]", problem)[0] for problem in wrong}
    for place in ("size", "train"):
        for key, value in cfg[place].items() if place in sound else ():
            yield from amount_problems(f"{place}.{key}", value)
    if "budget" in sound:
        yield from budget_problems(cfg["budget"])
    if {"budget", "certify", "eval_ranks"} <= sound:
        yield from certify_problems(cfg)
    if "train" in sound:
        yield from _training_problems(cfg["train"])
    if "seed" in sound and not 0 <= cfg["seed"] <= LARGEST:
        yield f"seed: {cfg['seed']} is out of range: from 0 to {LARGEST}"
    if not wrong:
        yield from _steering_problems(cfg)


def _training_problems(train: Mapping[str, Any]) -> Iterator[str]:
    if train["batch_tokens"] % max(1, train["window"] * train["accumulation"]):
        yield (
            f"train.batch_tokens: {train['batch_tokens']} is no multiple of window × accumulation = "
            f"{train['window']} × {train['accumulation']}"
        )
    if train["precision"] == "fp16":
        yield (
            "train.precision: fp16 is refused: hundreds of times slower on a CPU, and no loss scaling elsewhere; "
            "bf16 or fp32"
        )


def _steering_problems(cfg: Mapping[str, Any]) -> Iterator[str]:
    if cfg["overwrite"] and cfg["rerun"]:
        yield "overwrite, rerun: one of the two; overwrite replaces the finished run, rerun keeps it"
    if cfg["resume"] and (cfg["overwrite"] or cfg["rerun"]):
        yield "resume: goes on with the run that is there; overwrite and rerun begin another. One of the three"
    if cfg["resume"] and cfg["dry_run"]:
        yield "resume, dry_run: one of the two; a dry run forecasts a whole run and goes on with none"
    if cfg["resume"] and "checkpoint" not in cfg["hook"]:
        yield "hook: resume=true goes on from checkpoints, and to them; keep hook.checkpoint"
