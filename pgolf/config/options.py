"""Which classes the words of conf/ name: all that a file from elsewhere may have built here.

A run's config.yaml, an artifact's header and a compressed text say by ``_target_`` what reads them. Whoever judges
them builds options and nothing else of pgolf, whose other functions may run programs or write files.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pgolf
from pgolf.core.errors import ConfigError
from pgolf.core.make import only

_TARGET = re.compile(r"""^\s*_target_:\s*["']?(pgolf[\w.]+)""", re.MULTILINE)


def conf_dir() -> Path:
    """The ``conf/`` folder beside the package. Raises ConfigError where pgolf is installed without it."""
    folder = Path(pgolf.__file__).resolve().parent.parent / "conf"
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"no config.yaml in {folder}; pgolf runs from a checkout, installed with 'pip install -e .'")
    return folder


def only_options() -> None:
    """In this process ``make`` builds options alone. Raises ConfigError where there is no conf/."""
    only(option_targets(conf_dir()))


@cache
def option_targets(conf: Path) -> frozenset[str]:
    """Every ``_target_`` of the files in ``conf``."""
    return frozenset(target for file in conf.rglob("*.yaml") for target in _TARGET.findall(file.read_text("utf-8")))
