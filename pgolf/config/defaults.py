"""What the files of ``conf/`` choose by themselves, read from their defaults lists without composing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pgolf.config.groups import group_of

Choice = str | list[str]


def root_choices(conf: Path) -> dict[str, Choice]:
    """Group → option in the defaults list of ``conf/config.yaml``; a list of them where a group chooses many."""
    found: dict[str, Choice] = {}
    for entry in _defaults_list(conf / "config.yaml"):
        if isinstance(entry, dict):
            found |= {group: option for group, option in entry.items() if group_of(group) and option}
    return found


def child_choices(conf: Path, group: str, option: str) -> dict[str, Choice]:
    """Child group → what ``conf/<group>/<option>.yaml`` chooses for it, what it inherits included.

    Choose-many children have the list of all that is added on the way. Empty for a file that is not there.
    """
    found: dict[str, Choice] = {}
    path = conf / group / f"{option}.yaml"
    for entry in _defaults_list(path) if path.is_file() else []:
        if entry == "_self_":
            continue
        if isinstance(entry, str) and "/" not in entry:
            found |= child_choices(conf, group, entry)
            continue
        for child, chosen in _children(entry):
            known = group_of(f"{group}/{child}")
            many = known is not None and known.many
            found[child] = [*found.get(child, []), *_listed(chosen)] if many else chosen
    return found


def experiment_choices(conf: Path, experiment: str) -> dict[str, Choice]:
    """Group → what an experiment's file chooses for it, what it builds on included; an interpolation as it is written.

    Empty for a file that is not there.
    """
    found: dict[str, Choice] = {}
    path = conf / "experiment" / f"{experiment}.yaml"
    for entry in reversed(_defaults_list(path)) if path.is_file() else ():
        if isinstance(entry, str) and "/" not in entry and entry != "_self_":
            found = experiment_choices(conf, entry) | found  # of several the last wins, and the file's own before all
        elif isinstance(entry, dict):
            found |= {key.removeprefix("override ").removeprefix("/"): chosen for key, chosen in entry.items()}
    return found


def own_keys(conf: Path, group: str, option: str) -> list[str]:
    """The settings that stand in ``conf/<group>/<option>.yaml`` itself."""
    return [str(key) for key in _read(conf / group / f"{option}.yaml") if key not in ("defaults", "_target_")]


def own_settings(conf: Path, group: str, option: str) -> dict[str, Any]:
    """What ``conf/<group>/<option>.yaml`` sets, what it inherits included; an interpolation as it is written.

    Empty for a file that is not there.
    """
    path = conf / group / f"{option}.yaml"
    found: dict[str, Any] = {}
    if path.is_file():
        for entry in _defaults_list(path):
            if isinstance(entry, str) and "/" not in entry and entry != "_self_":
                found |= own_settings(conf, group, entry)
        found |= {str(key): value for key, value in _read(path).items() if key != "defaults"}
    return found


def _children(entry: Any) -> Iterator[tuple[str, Choice]]:
    """(child group, option) of one entry below an option: ``mlp: relu2``, ``override mlp: relu2``, ``addon/xsa``."""
    if isinstance(entry, dict):
        yield from (
            (key.removeprefix("override "), value)
            for key, value in entry.items()
            if not key.removeprefix("override ").startswith("/")
        )
    elif not entry.startswith("/"):
        child, _, option = entry.rpartition("/")
        yield child, option


def _listed(chosen: Choice | None) -> list[str]:
    return [chosen] if isinstance(chosen, str) else list(chosen or [])


def _defaults_list(path: Path) -> list[Any]:
    return list(_read(path).get("defaults", []))


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
