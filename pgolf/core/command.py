"""The one place where a subcommand of ``pgolf`` turns a user's error into a message and an exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from pgolf.core.errors import UserError

Command = Callable[[argparse.Namespace], "int | None"]


def guarded(name: str, command: Command) -> Callable[[argparse.Namespace], int]:
    """``command`` as an argparse handler: its status, None being 0; a UserError is printed line by line."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments) or 0
        except UserError as error:
            print("\n".join(f"pgolf {name}: {line}" for line in str(error).splitlines()), file=sys.stderr)
            return error.exit_status

    return run
