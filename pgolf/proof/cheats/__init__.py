"""The shelf of cheats: each breaks one rule on purpose, and the probe of that rule must say so by name.

A cheat turns an honest evaluation into a dishonest one. They exist to prove the probes, and run only in the
tests and under ``pgolf cheats``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.eval.evaluation import Evaluation

SHELF = (
    "unnormalised",
    "target_aware",
    "in_chunk_peeker",
    "score_after_update",
    "double_scorer",
    "tail_dropper",
    "byte_miscounter",
    "file_reader",
    "socket_opener",
)


@dataclass(frozen=True)
class Cheat:
    """``letter`` is the probe that must catch it."""

    name: str
    letter: str
    apply: Callable[[Evaluation], Evaluation]


def by_name(name: str) -> Cheat:
    """Raises ConfigError for a name that is not on the shelf."""
    if name not in SHELF:
        raise ConfigError(f"cheats: no '{name}' among {', '.join(SHELF)}.{did_you_mean(name, SHELF)}")
    module = import_module(f"pgolf.proof.cheats.{name}")
    return Cheat(name, module.LETTER, module.apply)


def shelf() -> tuple[Cheat, ...]:
    return tuple(by_name(name) for name in SHELF)
