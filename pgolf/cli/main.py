"""The command ``pgolf``: everything beside training and evaluating. Heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

import pgolf.cli
from pgolf.config.options import only_options
from pgolf.core.command import complain, encoding_problems
from pgolf.core.errors import UserError
from pgolf.core.registry import modules_of
from pgolf.core.signals import exit_status, heeding_signals
from pgolf.core.streams import harmless_streams
from pgolf.core.threads import bound_spinning


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each command sets ``run(args) -> exit status``."""
    top = argparse.ArgumentParser(prog="pgolf", description="Everything beside training and evaluating.")
    commands = top.add_subparsers(dest="command", required=True)
    for module in modules_of(pgolf.cli, leaves=("main",)):
        module.add_parser(commands)
    commands.metavar = "|".join(commands.choices)
    return top


def parsed(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Words may stand after options too, where argparse takes a command's open list to be over.

    A command with one and with options says which by ``open_list``: its name, and what reads a word of it.
    """
    top = parser()
    args, rest = top.parse_known_args(argv)
    name, read = getattr(args, "open_list", ("", str))
    if not rest:
        return args
    if not name or any(word.startswith("-") for word in rest):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    setattr(args, name, [*getattr(args, name), *(read(word) for word in rest)])
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    harmless_streams()
    bound_spinning()
    words = sys.argv[1:] if argv is None else argv
    problems = [problem for word in words for problem in encoding_problems(word)]
    if problems:
        print("\n".join(f"pgolf: {problem}" for problem in problems), file=sys.stderr)
        return 2
    args = parsed(argv)
    try:
        only_options()
        with heeding_signals():
            return int(args.run(args))
    except UserError as error:
        complain(error)
        return error.exit_status
    except KeyboardInterrupt as stop:
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            print(f"pgolf: {stop or 'interrupted'}", file=sys.stderr, flush=True)
        return exit_status(stop)


if __name__ == "__main__":
    sys.exit(main())
