"""The shelf of cheats: each breaks one rule on purpose, and the probe of that rule must say so by name.

A cheat turns an honest evaluation into a dishonest one. They exist to prove the certificate, and run only in the
tests and under ``pgolf cheats``. A cheat is a module of this package with a ``LETTER`` (the probe that must catch it)
and either a function ``apply`` or an ``ALTERATION`` of the network's rows, which then runs under every modifier too:
slow, late, inside a block only, in one context of fifty. Its name is the module's, and ``name+modifier``. One that pays
on a certain text alone has a function ``text``, which makes that text of another.

Beside them stand the published forms that break the order of scoring (``pgolf.proof.published``): modules of the same
shape, with a ``SOURCE``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numpy as np

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.protocols import Tokenizer
from pgolf.core.registry import module_named, stems
from pgolf.eval.evaluation import Evaluation
from pgolf.proof import published
from pgolf.proof.cheats.altered import MODIFIERS, altered

# Where the cheats are, each place with its modules that are none.
_LEAVES = ("altered", "claims", "counters", "counting", "hashing")
_SHELVES = ((sys.modules[__name__], _LEAVES), (published, ("adapting", "driver")))
PLAIN = "plain"


@dataclass(frozen=True)
class Cheat:
    """``letter`` is the probe that must catch it; ``source``, of a published form, the pull requests that had it.

    ``text``: of a stream, its documents and tokenizer, the stream and documents that it is played on; None: on any.
    """

    name: str
    letter: str
    apply: Callable[[Evaluation], Evaluation]
    source: str = ""
    text: Callable[[np.ndarray, Sequence[str], Tokenizer], tuple[np.ndarray, list[str]]] | None = None


def names() -> list[str]:
    """Of all cheats and their modified forms, sorted."""
    return sorted(name for package, leaves in _SHELVES for stem in stems(package, leaves) for name in _forms(stem))


def by_name(name: str) -> Cheat:
    """Raises ConfigError for a name that is not on the shelf."""
    stem, _, modifier = name.partition("+")
    module = _module(stem)
    if module is None or name not in _forms(stem):
        raise ConfigError(_unknown(name))
    apply = getattr(module, "apply", None) or partial(altered, alteration=module.ALTERATION, modifier=modifier or PLAIN)
    return Cheat(name, module.LETTER, apply, getattr(module, "SOURCE", ""), getattr(module, "text", None))


def shelf() -> tuple[Cheat, ...]:
    """Every cheat, in the order of the probes."""
    return tuple(sorted(map(by_name, names()), key=lambda cheat: (cheat.letter, cheat.name)))


def named(wanted: Sequence[str], place: str) -> list[Cheat]:
    """The cheats of these names. Raises ConfigError listing every name, given at ``place``, that none has."""
    known = names()
    problems = [f"{place}: {_unknown(name)}" for name in wanted if name not in known]
    if problems:
        raise ConfigError(problems)
    return [by_name(name) for name in wanted]


def _forms(stem: str) -> list[str]:
    """The names of a cheat: its own, and those with a modifier where it takes any."""
    modified = [f"{stem}+{modifier}" for modifier in MODIFIERS if modifier != PLAIN]
    return [stem, *(modified if hasattr(_module(stem), "ALTERATION") else [])]


def _unknown(name: str) -> str:
    modified = [known.partition("+")[0] for known in names() if "+" in known]
    shown = [stem + "[+]" * (stem in modified) for stem in names() if "+" not in stem]
    modifiers = ", ".join(f"+{modifier}" for modifier in MODIFIERS if modifier != PLAIN)
    return (
        f"no '{name}' on the shelf of cheats.{did_you_mean(name, names())} "
        f"There are {', '.join(shown)}; [+]: also with {modifiers}"
    )


def _module(stem: str) -> ModuleType | None:
    found = (module_named(package, stem, leaves) for package, leaves in _SHELVES)
    return next((module for module in found if module is not None), None)
