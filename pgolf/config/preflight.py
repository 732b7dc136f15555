"""Read the command line before Hydra does, and answer a misspelling with the nearest right word.

Hydra lists the options of a mistyped choose-one group, none for a choose-many one, and never guesses
(style 13). ``preflight`` looks at the files of ``conf/`` for groups and options, and at the composed
config for keys. It changes nothing and composes nothing that Hydra would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from pgolf.config.groups import GROUPS, group_of
from pgolf.core.errors import ConfigError, did_you_mean


def options(conf: Path, group: str) -> list[str]:
    """The option names of a group: the stems of its YAML files."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def option_exists(conf: Path, group: str, option: str) -> None:
    """Raise ConfigError unless ``conf/<group>/<option>.yaml`` exists."""
    problem = _option_problem(conf, group, option) if group_of(group) else _group_problem(group)
    if problem:
        raise ConfigError(problem)


def _group_problem(group: str) -> str:
    known = [known.path for known in GROUPS]
    return f"no config group '{group}'; the groups are {', '.join(known)}.{did_you_mean(group, known)}"


def _option_problem(conf: Path, group: str, option: str) -> str | None:
    known = options(conf, group)
    if option in known or (group == "experiment" and option in ("null", "None")):
        return None
    guess = did_you_mean(option, known)
    listing = f" Options: {', '.join(known)}." if known else " The group is empty."
    return f"{group}: no '{option}' in conf/{group}.{guess}{listing}"


def chosen_options(override: Override) -> list[str]:
    """All option names an override selects, sweeps and lists flattened."""
    value = override.value()
    if override.is_sweep_override():
        if not override.is_discrete_sweep():
            return []
        values: Iterable[Any] = override.sweep_iterator()
    else:
        values = [value]
    names: list[str] = []
    for item in values:
        text = str(item)
        names += (
            [w.strip(" '\"") for w in text.strip("[]").split(",") if w.strip(" '\"")]
            if text.startswith("[")
            else [text]
        )
    return [name.rsplit("=", 1)[-1].strip("'\"") for name in names]


def _key_problem(config: Mapping[str, Any], dotted: str, adding: bool) -> str | None:
    """None if ``dotted`` names an existing key (or, when ``adding``, an existing parent)."""
    node: Any = config
    parts = dotted.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, Mapping):
            return f"{dotted}: '{'.'.join(parts[:depth])}' is a value and has no keys"
        if part not in node:
            if adding and depth == len(parts) - 1:
                return None
            place = ".".join(parts[:depth])
            known = [str(key) for key in node if key not in ("_target_", "hydra")]
            where = place or "the top level"
            described = f"{where} takes {', '.join(known)}" if known else f"{where} has no settings as chosen"
            return f"{dotted}: {described}.{did_you_mean(part, known)}"
        node = node[part]
    return None


def preflight(words: Sequence[str], conf: Path, config: Any) -> list[Override]:
    """Check every override among the command-line ``words``.

    ``config`` is a callable ``(group_overrides) -> mapping`` giving the composed config once the groups are
    known to be right; it is called at most once. Returns the parsed overrides. Raises ConfigError with all
    problems at once.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"cannot read the command line: {first}. Overrides look like key=value or group=option"
        ) from error
    problems: list[str] = list(_child_problems(conf, overrides))
    keys: list[Override] = []
    right: list[str] = []
    for override in overrides:
        name = override.key_or_group
        if override.package or name.startswith("hydra"):
            continue
        if group_of(name):
            wrong = [] if override.is_delete() else _choice_problems(conf, name, override)
            problems += wrong
            if not wrong and not override.is_sweep_override():
                right.append(str(override.input_line))
        elif "/" in name:
            problems.append(_group_problem(name))
        else:
            keys.append(override)
    if keys:
        composed = config(right)
        # A key of a group whose option is misspelt cannot be judged: that group is not what will be composed.
        unknown = (
            {o.key_or_group.partition("/")[0] for o in overrides if group_of(o.key_or_group)}
            if problems
            else set()
        )
        for override in keys:
            if override.key_or_group.partition(".")[0] in unknown:
                continue
            problem = _key_problem(
                composed, override.key_or_group, override.is_add() or override.is_force_add()
            )
            if problem and "." not in override.key_or_group:
                guess = did_you_mean(override.key_or_group, [group.path for group in GROUPS])
                problem = problem.split(". Did you mean")[0].rstrip(".") + "." + guess if guess else problem
            problems += [problem] if problem else []
    if problems:
        raise ConfigError(problems)
    return list(overrides)


def _child_problems(conf: Path, overrides: Sequence[Override]) -> Iterator[str]:
    """Child groups chosen for an option that has none of that name: ``quant=none quant/scale=sdclip``.

    The parent's option is the command line's or, where no experiment could have replaced it, the default.
    """
    chosen = {} if any(o.key_or_group == "experiment" for o in overrides) else _default_options(conf)
    for override in overrides:
        group = group_of(override.key_or_group)
        if group and not group.many and not override.is_delete():
            chosen[group.path] = chosen_options(override)
    for override in overrides:
        group = group_of(override.key_or_group)
        parent, _, child = override.key_or_group.rpartition("/")
        if not group or group.many or override.is_add() or not parent:
            continue
        for option in chosen.get(parent, []):
            if option in options(conf, parent) and child not in (known := _children(conf, parent, option)):
                takes = f"takes {', '.join(known)}" if known else "has no child groups"
                yield f"{override.key_or_group}: {parent}={option} {takes}.{did_you_mean(child, known)}"


def _default_options(conf: Path) -> dict[str, list[str]]:
    pairs = (entry for entry in _defaults_list(conf / "config.yaml") if isinstance(entry, dict))
    return {group: [option] for pair in pairs for group, option in pair.items() if isinstance(option, str)}


def _children(conf: Path, group: str, option: str) -> list[str]:
    """The child groups in the defaults list of an option, those of what it inherits included."""
    found: list[str] = []
    for entry in _defaults_list(conf / group / f"{option}.yaml"):
        if isinstance(entry, dict):
            found += [str(child) for child in entry if not str(child).startswith(("override ", "/"))]
        elif entry != "_self_" and "/" not in entry:
            found += _children(conf, group, entry)
    return found


def _defaults_list(path: Path) -> list[Any]:
    return list((yaml.safe_load(path.read_text()) or {}).get("defaults", []))


def _choice_problems(conf: Path, group: str, override: Override) -> list[str]:
    found = (_option_problem(conf, group, choice) for choice in chosen_options(override))
    return [problem for problem in found if problem]
