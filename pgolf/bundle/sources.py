"""Which modules of this package a run's code may consist of, and where their sources are (decisions 7).

A bundled script carries the modules that its run reaches, whatever they are, except NOT_BUNDLED: whole layers that
serve the person who runs the experiment, for which a script that trains and scores has no use. What is reached of
them by accident is an error rather than bytes. A single option says about itself that no script carries it, as
sources of ``data`` do (``bundled``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pgolf
from pgolf.core.errors import ConfigError

NOT_BUNDLED: Mapping[str, str] = {
    "pgolf.config": "the composed config is shipped; composing and checking it needs Hydra, a bundle does not",
    "pgolf.track": "records of a run: folders, logs, tables",
    "pgolf.logger": "records of a run: loggers",
    "pgolf.cli": "the command line of this package",
    "pgolf.proof": "the certificate is about the artifact, not part of it",
    "pgolf.bench": "measurements of speed",
}
_SOURCE = Path(pgolf.__file__).parent


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One module's file; a package's is its ``__init__``."""

    name: str
    text: str
    is_package: bool

    @property
    def package(self) -> str:
        """Where its relative imports start."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def is_bundled(name: str) -> bool:
    """Is the module ``name`` outside NOT_BUNDLED?"""
    return not any(name == package or name.startswith(f"{package}.") for package in NOT_BUNDLED)


@cache
def is_module(name: str) -> bool:
    """Is ``name`` a module or package of pgolf?"""
    return name.split(".")[0] == "pgolf" and _file_of(name) is not None


def source_of(name: str) -> ModuleSource:
    """The source of a pgolf module. Raises ConfigError for a module that does not exist."""
    located = _file_of(name) if name.split(".")[0] == "pgolf" else None
    if located is None:
        raise ConfigError(f"script: there is no module {name!r} in pgolf")
    path, is_package = located
    return ModuleSource(name, path.read_text(encoding="utf-8"), is_package)


def parents(name: str) -> Iterator[str]:
    """The packages around a module, the nearest first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that ``from ... import`` names inside ``package``."""
    base = node.module or ""
    if not node.level:
        return base
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, base] if base else above)


def _file_of(name: str) -> tuple[Path, bool] | None:
    """Source file of a pgolf module and whether it is a package, or None."""
    stem = _SOURCE.joinpath(*name.split(".")[1:])
    if (stem / "__init__.py").is_file():
        return stem / "__init__.py", True
    path = stem.with_name(f"{stem.name}.py")
    return (path, False) if name != "pgolf" and path.is_file() else None
