"""Registries by stem: what a package offers is what modules it has, so that an addition is a file and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def stems(package: ModuleType, leaves: Collection[str] = ()) -> list[str]:
    """The names of the modules in ``package``, sorted, ``leaves`` (shared code that is no option) left out."""
    return sorted(found.name for found in iter_modules(package.__path__) if found.name not in leaves)


def modules_of(package: ModuleType, leaves: Collection[str] = ()) -> Iterator[ModuleType]:
    """The modules of ``package``, imported, in the order of their names; ``leaves`` are left out."""
    return (import_module(f"{package.__name__}.{stem}") for stem in stems(package, leaves))
