"""The command ``pgolf``: everything beside training and evaluating. Heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import pgolf.cli
from pgolf.core.registry import modules_of
from pgolf.core.streams import harmless_streams


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each command sets ``run(args) -> exit status``."""
    top = argparse.ArgumentParser(prog="pgolf", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for module in modules_of(pgolf.cli, leaves=("main",)):
        module.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    harmless_streams()
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("pgolf: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
