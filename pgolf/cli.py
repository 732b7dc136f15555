"""The command ``pgolf``: everything beside training and evaluating. Heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pgolf.artifact import cli as artifact_cli
from pgolf.bench import cli as bench_cli
from pgolf.data import cli as data_cli
from pgolf.proof import cli as proof_cli


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each command sets ``run(args) -> exit status``."""
    top = argparse.ArgumentParser(prog="pgolf", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for module in (data_cli, artifact_cli, proof_cli, bench_cli):
        module.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("pgolf: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
