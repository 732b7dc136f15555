"""``make``: from a config node to an object, without Hydra (style 4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

from pgolf.core.errors import ConfigError

# The targets that may be built, once ``only`` was told; a bundled script, which has its own config alone, knows none.
_options: Collection[str] | None = None


def only(targets: Collection[str] | None) -> None:
    """From now on nothing but ``targets`` is built in this process, whatever a file names; None: all of pgolf."""
    global _options
    _options = targets


def target_of(node: Mapping[str, Any], place: str = "") -> Callable[..., Any]:
    """Import what ``node['_target_']`` names. Only ``pgolf.*`` is accepted, and of it only what ``only`` was told.

    Raises ConfigError for a missing, foreign or non-existent target.
    """
    target = node.get("_target_")
    where = f"{place}: " if place else ""
    if not isinstance(target, str):
        raise ConfigError(f"{where}no _target_ in {dict(node)!r}")
    if not target.startswith("pgolf."):
        raise ConfigError(f"{where}_target_ {target!r} is not a pgolf class; only pgolf.* can be built")
    if _options is not None and target not in _options:
        raise ConfigError(f"{where}_target_ {target!r} is no option: no file of conf/ names it")
    try:
        return named(target)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}_target_ {target!r} cannot be imported: {error}") from error


def named(target: str) -> Callable[..., Any]:
    """What a dotted name of our own stands for. Raises ImportError, AttributeError."""
    module, _, attribute = target.rpartition(".")
    return getattr(import_module(module), attribute)


def trait(node: Mapping[str, Any], name: str, default: Any) -> Any:
    """What the node's target says of itself by its class attribute ``name``; ``default`` where it says nothing.

    Raises ConfigError as ``target_of``.
    """
    return getattr(target_of(node), name, default)


def make(node: Mapping[str, Any], **runtime: Any) -> Any:
    """Call the node's target with the rest of the node, plus ``runtime`` objects by keyword.

    Child nodes are passed on as plain mappings: whoever receives them decides when to build them.
    """
    return target_of(node)(**{key: value for key, value in node.items() if key != "_target_"}, **runtime)
