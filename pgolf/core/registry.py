"""Registries by stem: what a package offers is what modules it has, so that an addition is a file and nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType


def stems(package: ModuleType, leaves: Collection[str] = ()) -> list[str]:
    """The names of the modules in ``package``, sorted, ``leaves`` (shared code that is no option) left out."""
    return sorted(found.name for found in iter_modules(package.__path__) if found.name not in leaves)


def modules_of(package: ModuleType, leaves: Collection[str] = ()) -> Iterator[ModuleType]:
    """The modules of ``package``, imported, in the order of their names; ``leaves`` are left out."""
    return (import_module(f"{package.__name__}.{stem}") for stem in stems(package, leaves))


def module_named(package: ModuleType, stem: str, leaves: Collection[str] = ()) -> ModuleType | None:
    """The module ``stem`` of ``package``, imported; None where there is none, or only a leaf.

    ``stem`` may come from a file: what is not lower case letters, digits and underscores is not looked up at all.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", stem) or stem in leaves:
        return None
    name = f"{package.__name__}.{stem}"
    return None if find_spec(name) is None else import_module(name)
