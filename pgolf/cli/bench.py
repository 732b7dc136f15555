"""``pgolf bench WHAT``: each module of this package but leaves adds a command. Imports stay light until one runs."""

from __future__ import annotations

from typing import Any

import pgolf.bench
from pgolf.core.registry import modules_of

_LEAVES = ("stepper",)


def add_parser(subparsers: Any) -> None:
    """Add ``bench`` with its commands to the command's subparsers; each sets its handler as ``run``."""
    parser = subparsers.add_parser("bench", help="measure a hot path beside its plain form")
    commands = parser.add_subparsers(dest="bench", required=True)
    for module in modules_of(pgolf.bench, _LEAVES):
        module.add_parser(commands)
    commands.metavar = "|".join(commands.choices)
