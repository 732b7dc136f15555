"""What the commands share: a user's error as a message and an exit status, words that are no text, paths, counts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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


def encoding_problems(word: str) -> Iterator[str]:
    """What is wrong with a word whose bytes are not UTF-8: nothing that is written of the run could hold it."""
    try:
        word.encode()
    except UnicodeEncodeError as error:
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
        yield f"{shown}: not UTF-8 at character {error.start + 1}; pgolf takes names and texts in UTF-8 only"


def at_least(least: int) -> Callable[[str], int]:
    """The argparse type of a whole number that is not below ``least``."""

    def count(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{value!r} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is out of range: at least {least}")
        return number

    return count


def home(value: str) -> Path:
    """``value`` as a path, with ``~`` and ``~user`` where such a folder is known."""
    try:
        return Path(value).expanduser()
    except RuntimeError:  # no such user
        return Path(value)
