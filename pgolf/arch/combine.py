"""Combinations of techniques that no model may have, refused when a model is built (spec arch §13).

What a technique can tell alone (an index out of range, a missing sublayer) it refuses itself. Here stand the rules
between techniques; which of them a technique is under, it says by its attributes (``Addon``, ``Lanes``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pgolf.arch.lanes
from pgolf.arch.addon.base import Addon
from pgolf.arch.lanes.base import Lanes
from pgolf.core.errors import ConfigError
from pgolf.core.registry import modules_of


def check_combination(lanes: Lanes, addons: Mapping[str, Addon]) -> None:
    """Raise ConfigError with every forbidden combination among these."""
    problems = [*_alternatives(addons), *_too_many_lanes(lanes, addons)]
    if problems:
        raise ConfigError(problems)


def _alternatives(addons: Mapping[str, Addon]) -> Iterator[str]:
    """Several addons that do each other's work."""
    for alternative in sorted({addon.alternative for addon in addons.values() if addon.alternative}):
        names = sorted(name for name, addon in addons.items() if addon.alternative == alternative)
        if len(names) > 1:
            yield f"arch/addon: {' and '.join(names)} {alternative}; choose one"


def _too_many_lanes(lanes: Lanes, addons: Mapping[str, Addon]) -> Iterator[str]:
    """Addons whose formula knows fewer lanes, or fewer readings of them, than there are."""
    for name, addon in addons.items():
        if found := _too_many(lanes, addon):
            fitting = " or ".join(word for word, option in _options() if not _too_many(option, addon))
            yield f"arch/addon: {name} {addon.why} and is not defined for {found}; choose arch/lanes={fitting}"


def _too_many(lanes: Lanes | type[Lanes], addon: Addon) -> str:
    """What of these lanes is more than the addon's formula knows; empty where nothing is."""
    if addon.most_lanes is not None and lanes.lanes > addon.most_lanes:
        return f"{lanes.lanes} lanes"
    if addon.most_reads is not None and lanes.reads > addon.most_reads:
        return f"blocks that read {lanes.reads} times"
    return ""


def _options() -> Iterator[tuple[str, type[Lanes]]]:
    """The techniques of arch/lanes by their words."""
    for module in modules_of(pgolf.arch.lanes, ("base", "two")):
        for value in module.__dict__.values():
            if isinstance(value, type) and issubclass(value, Lanes) and value.__module__ == module.__name__:
                yield module.__name__.rpartition(".")[2], value
