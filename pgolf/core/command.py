"""What the commands share: a user's error as a message and an exit status, words that are no text, paths, counts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pgolf.core.errors import UserError

OVERRIDES_NAME = "overrides"  # in a run's folder: the words of its command line, one a line
Command = Callable[[argparse.Namespace], "int | None"]


def guarded(name: str, command: Command) -> Callable[[argparse.Namespace], int]:
    """``command`` as an argparse handler: its status, None being 0; a UserError is printed line by line."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments) or 0
        except UserError as error:
            complain(error, f"pgolf {name}")
            return error.exit_status

    return run


def complain(error: BaseException, name: str = "pgolf") -> None:
    """Print an error for a person, one problem a line after ``name``, to standard error."""
    lines = str(error).splitlines() or [type(error).__name__]
    print("\n".join(f"{name}: {line}" for line in lines), file=sys.stderr, flush=True)


def encoding_problems(word: str) -> Iterator[str]:
    """What is wrong with a word whose bytes are not UTF-8: nothing that is written of the run could hold it."""
    try:
        word.encode()
    except UnicodeEncodeError as error:
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
        yield f"{shown}: not UTF-8 at character {error.start + 1}; pgolf takes names and texts in UTF-8 only"


def overrides_text(words: Sequence[str]) -> str:
    """The words of a command line as a run keeps them: one a line, as JSON where that would not be one line."""
    lines = (json.dumps(word) if word.startswith('"') or set(word) & {"\n", "\r"} else word for word in words)
    return "".join(f"{line}\n" for line in lines)


def read_overrides(run: Path) -> list[str]:
    """The words of the command line of the run in this folder. Raises OSError, ValueError."""
    text = (run / OVERRIDES_NAME).read_bytes().decode(errors="surrogateescape")
    lines = text.split("\n")[:-1]  # not splitlines: a word may hold what else Unicode takes for the end of a line
    return [json.loads(line) if line.startswith('"') else line for line in lines]


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


def run_folder(value: str) -> Path:
    """``value`` as ``home`` has it; of the folder of all seeds, where there is one, that seed's. An argparse type."""
    place = home(value)
    seeds = sorted(found for found in place.glob("seed=*") if found.is_dir())
    if len(seeds) > 1:
        known = ", ".join(seed.name for seed in seeds)
        raise argparse.ArgumentTypeError(f"{place} holds {known}; name one of them, such as {seeds[0]}")
    return seeds[0] if seeds else place
