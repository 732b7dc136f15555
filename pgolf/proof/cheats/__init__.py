"""The shelf of cheats: each breaks one rule on purpose, and the probe of that rule must say so by name.

A cheat turns an honest evaluation into a dishonest one. They exist to prove the probes, and run only in the
tests and under ``pgolf cheats``. A cheat is a module of this package with a ``LETTER`` (the probe that must catch it)
and a function ``apply``; its name is the module's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.registry import module_named, stems
from pgolf.eval.evaluation import Evaluation

_SHELF = sys.modules[__name__]
_LEAVES = ("wrapped",)


@dataclass(frozen=True)
class Cheat:
    """``letter`` is the probe that must catch it."""

    name: str
    letter: str
    apply: Callable[[Evaluation], Evaluation]


def names() -> list[str]:
    """Of all cheats, sorted."""
    return stems(_SHELF, _LEAVES)


def by_name(name: str) -> Cheat:
    """Raises ConfigError for a name that is not on the shelf."""
    module = module_named(_SHELF, name, _LEAVES)
    if module is None:
        raise ConfigError(f"cheats: no '{name}' among {', '.join(names())}.{did_you_mean(name, names())}")
    return Cheat(name, module.LETTER, module.apply)


def shelf() -> tuple[Cheat, ...]:
    """Every cheat, in the order of the probes."""
    return tuple(sorted(map(by_name, names()), key=lambda cheat: (cheat.letter, cheat.name)))
