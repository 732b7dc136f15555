"""Combinations of techniques that no model may have, refused when a model is built (spec arch §13).

What a technique can tell alone (an index out of range, a missing sublayer) it refuses itself. Here stand the rules
between techniques; which of them a technique is under, it says by its attributes (``Addon``, ``Lanes``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgolf.arch.addon.base import Addon
from pgolf.arch.lanes.base import Lanes
from pgolf.core.errors import ConfigError


def check_combination(lanes: Lanes, addons: Mapping[str, Addon]) -> None:
    """Raise ConfigError with every forbidden combination among these."""
    problems = [*_alternatives(addons), *_too_many_lanes(lanes, addons)]
    if problems:
        raise ConfigError(problems)


def _alternatives(addons: Mapping[str, Addon]) -> Iterator[str]:
    """Several addons that do each other's work."""
    named = {addon.alternative for addon in addons.values()} - {None}
    for alternative in sorted(filter(None, named)):
        names = sorted(name for name, addon in addons.items() if addon.alternative == alternative)
        if len(names) > 1:
            yield f"arch/addon: {' and '.join(names)} {alternative}; choose one"


def _too_many_lanes(lanes: Lanes, addons: Mapping[str, Addon]) -> Iterator[str]:
    """Addons whose formula knows fewer lanes, or fewer readings of them, than there are."""
    for name, addon in addons.items():
        if addon.most_lanes is not None and lanes.lanes > addon.most_lanes:
            found = f"{lanes.lanes} lanes"
        elif addon.most_reads is not None and lanes.reads > addon.most_reads:
            found = f"blocks that read {lanes.reads} times"
        else:
            continue
        yield f"arch/addon: {name} {addon.why} and is not defined for {found}; arch/lanes=none has one"
