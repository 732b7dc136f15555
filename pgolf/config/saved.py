"""Configs that runs have saved, read without composing: what they chose, in what two of them differ, what a word says.

A saved config is resolved, so plain YAML will do; OmegaConf takes twenty times as long for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pgolf.config.content import SIZE_KEYS, content
from pgolf.config.groups import GROUPS
from pgolf.core.errors import ConfigError, RunError
from pgolf.core.json_text import MAX_DEPTH, too_deep

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MISSING = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which two configs differ: a group (``mixer``) or a key (``train.grad_clip``); ``-`` is nothing."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}={self.new}" if self.new != _MISSING else f"~{self.key}"


def read_saved(path: Path) -> dict[str, Any]:
    """The whole config in the file ``path``, the machine's part included. Raises RunError for one that no run saved."""
    try:
        cfg = yaml.load(path.read_bytes(), Loader=_LOADER)
    except OSError as error:
        raise RunError(f"{path}: a run's config cannot be read here ({error.strerror or error})") from error
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise RunError(f"{path}: the run's config cannot be read: {' '.join(str(error).split())}") from error
    if too_deep(cfg):
        raise RunError(f"{path}: the run's config is nested more than {MAX_DEPTH} levels deep")
    if not isinstance(cfg, dict) or not isinstance(cfg.get("choices"), dict) or not isinstance(cfg.get("size"), dict):
        raise RunError(f"{path}: not the config of a run")
    return {str(key): value for key, value in cfg.items()}


def read_choices(path: Path) -> dict[str, Any]:
    """What the config in ``path`` chose, group by group: its last part but one alone is parsed. Raises RunError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: a run's config cannot be read here ({error})") from error
    block = re.search(r"^choices:\n(?:  .*\n)+", text, re.MULTILINE)
    if block is None:
        return dict(read_saved(path)["choices"])
    try:
        return dict(yaml.load(block[0], Loader=_LOADER)["choices"])
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise RunError(f"{path}: the run's config cannot be read: {' '.join(str(error).split())}") from error


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """In what ``new`` is another run than ``old``, options of groups first; the seed and what only steers are no such.

    What lies inside a group whose option is another is left out: that follows from the option, or cannot be compared.
    """
    changed = [
        Difference(path, _shown(old["choices"].get(path)), _shown(new["choices"].get(path)))
        for path in _option_groups(old, new)
        if old["choices"].get(path) != new["choices"].get(path)
    ]
    inside = tuple(f"{group.key}." for group in GROUPS if group.path in {one.key for one in changed})
    before, after = (dict(_leaves(_read_by_run(cfg), "")) for cfg in (old, new))
    for key in [*before, *(key for key in after if key not in before)]:
        was, now = before.get(key, _MISSING), after.get(key, _MISSING)
        if was != now and not one_number(was, now) and not key.startswith(inside):
            changed.append(Difference(key, was, now))
    return changed


def holds(cfg: Mapping[str, Any], word: str) -> bool:
    """Whether a saved config is as the command-line word ``key=value`` says. Raises ConfigError for what is no word."""
    key, equals, wanted = word.lstrip("+").partition("=")
    if not equals or not key:
        raise ConfigError(f"{word!r}: not a word such as mixer=none or optimizer.matrix_lr=0.02")
    try:
        typed = _shown(yaml.load(wanted, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise ConfigError(f"{word!r}: its value cannot be read ({' '.join(str(error).split())})") from error
    found = value_at(cfg, key)
    return found in (typed, wanted) or (found is not None and one_number(found, wanted))


def one_number(one: str, other: str) -> bool:
    """Whether both texts are the same number, as 0 and 0.0 are."""
    return _number(one) == _number(other) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def value_at(cfg: Mapping[str, Any], key: str) -> str | None:
    """What a saved config has at ``key``, an option where it is a group, as one would type it; None for nothing."""
    if key in cfg["choices"] and key != "arch/addon":
        return _shown(cfg["choices"][key])
    if key == "arch/addon":
        return _shown(sorted((cfg.get("arch") or {}).get("addons") or {}))
    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return _shown(node)


def _option_groups(*configs: Mapping[str, Any]) -> Iterator[str]:
    """The groups that one option is chosen of, in the order of the table; many are compared by what they hold."""
    many = {group.path for group in GROUPS if group.many}
    known = [group.path for group in GROUPS]
    found = {str(path) for cfg in configs for path in cfg["choices"]}
    return (
        path
        for path in sorted(found, key=lambda p: (known.index(p) if p in known else len(known), p))
        if path not in many
    )


def _read_by_run(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The content, of the config of an older version too, which may lack what today's has."""
    size = {**dict.fromkeys(SIZE_KEYS), **cfg["size"]}
    return content({**cfg, "size": size, **{key: cfg.get(key) or {} for key in ("train", "hook")}})


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, _shown(node)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_shown, value))}]"
    return " ".join(str(value).split()) or "''"
