"""``pgolf bench [WHAT]``: every benchmark as one table, or one by itself. Imports stay light until one runs.

Each module of ``pgolf.bench`` but leaves adds a command; those with ``session(setting)`` have a part in the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pgolf.bench
from pgolf.core.command import at_least, guarded, home
from pgolf.core.registry import modules_of

if TYPE_CHECKING:
    from pgolf.bench.figures import FigureChange
    from pgolf.bench.rounds import Setting

_LEAVES = ("against", "figures", "rounds", "stepper", "table")
# What is said of all benchmarks, which must not stand before the name of one; how each is spelt.
_SPELT = {
    "json_out": "--json",
    "compare": "--compare",
    "against": "--against",
    "chosen": "--only",
    "of_all": "--words",
    "their_words": "--their-words",
    "count": "--rounds",
    "cores": "--threads",
    "smallest": "--tiny",
    "given": "--artifact",
}


def add_parser(subparsers: Any) -> None:
    """Add ``bench`` with its commands to the command's subparsers; each sets its handler as ``run``."""
    parser = subparsers.add_parser(
        "bench",
        help="measure hot paths: all in one table, or one beside its plain form",
        description="Without a name every benchmark is measured at a small size, some minutes in all, each figure "
        "beside its floor: what the machine or the ideal code length allows. Absolute times are of this machine and "
        "this minute; ratios and --against are what can be told others.",
    )
    benches = list(modules_of(pgolf.bench, _LEAVES))
    named = [_name(module) for module in benches if hasattr(module, "session")]
    parser.add_argument("--json", dest="json_out", type=home, metavar="OUT", help="the table as JSON too, in this file")
    parser.add_argument(
        "--compare",
        type=home,
        metavar="OLD",
        help="what moved beyond noise since this JSON was written, on this machine",
    )
    parser.add_argument(
        "--against", type=home, metavar="PATH", help="rounds in turns with the code of another checkout, and ratios"
    )
    parser.add_argument(
        "--only", dest="chosen", nargs="+", choices=named, metavar="NAME", help="of them: all others out"
    )
    parser.add_argument("--words", dest="of_all", nargs="+", metavar="WORD", help="of train.py, for those that train")
    parser.add_argument("--their-words", nargs="+", metavar="WORD", help="with --against: there (default: the same)")
    parser.add_argument("--rounds", dest="count", type=at_least(1), help="of each (default: 5; with --against 7)")
    parser.add_argument("--threads", dest="cores", type=at_least(1), nargs="+", help="(default: 1 2)")
    parser.add_argument("--artifact", dest="given", type=home, metavar="RUN|ARTIFACT", help="for those that need one")
    parser.add_argument("--tiny", dest="smallest", action="store_true", default=None, help="sizes that mean nothing")
    parser.set_defaults(run=guarded("bench", _run))
    commands = parser.add_subparsers(dest="bench", required=False)
    for module in benches:
        module.add_parser(commands)
    for command in dict.fromkeys(commands.choices.values()):
        command.set_defaults(run=_by_itself(command.get_default("run")))
    commands.metavar = "|".join(commands.choices)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _by_itself(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """``run``, refusing what is said of all benchmarks."""

    def alone(arguments: argparse.Namespace) -> None:
        from pgolf.core.errors import ConfigError

        said = [spelt for name, spelt in _SPELT.items() if getattr(arguments, name, None) is not None]
        if said:
            raise ConfigError(
                f"{', '.join(said)}: of the table of all, or with --only; options of {arguments.bench} stand after it"
            )

    def guarded_run(arguments: argparse.Namespace) -> int:
        return guarded("bench", alone)(arguments) or run(arguments)

    return guarded_run


def _run(arguments: argparse.Namespace) -> None:
    """Raises ConfigError for what does not go together, and as the benchmarks."""
    import json

    from pgolf.bench import rounds, table
    from pgolf.bench.figures import from_plain, refuse_others, to_plain
    from pgolf.config.compose import checked
    from pgolf.core.atomic import write_text_atomic
    from pgolf.core.errors import ConfigError, DataError
    from pgolf.core.json_text import read_json

    if arguments.against is not None and (arguments.compare is not None or arguments.given is not None):
        raise ConfigError("--against: measures both by itself; without --compare and --artifact")
    if arguments.their_words is not None and arguments.against is None:
        raise ConfigError("--their-words: without --against there are none")
    if arguments.json_out is not None and (arguments.json_out.is_dir() or not arguments.json_out.parent.is_dir()):
        raise ConfigError(f"--json: {arguments.json_out}: is no file that could be written")
    if arguments.given is not None and not arguments.given.exists():
        raise ConfigError(f"--artifact: {arguments.given}: there is nothing here")
    setting = rounds.Setting(
        tuple(dict.fromkeys(arguments.cores or (1, 2))),
        bool(arguments.smallest),
        tuple(arguments.of_all or ()),
        arguments.given,
    )
    if setting.words:
        checked(setting.training_words)
    benches = {_name(module): module for module in modules_of(pgolf.bench, _LEAVES) if hasattr(module, "session")}
    chosen = [name for name in benches if arguments.chosen is None or name in arguments.chosen]
    if arguments.against is not None:
        _against(arguments, setting, chosen)
        return
    count = arguments.count or rounds.ROUNDS
    blank = rounds.blank(setting, count)
    old = None
    if arguments.compare is not None:
        old = from_plain(read_json(arguments.compare, DataError), str(arguments.compare))
        refuse_others(old, blank, str(arguments.compare))
    sheet = rounds.measure_all(blank, setting, {name: benches[name] for name in chosen}, old, str(arguments.compare))
    print("\n".join(table.lines(sheet)))
    if arguments.json_out is not None:
        write_text_atomic(arguments.json_out, json.dumps(to_plain(sheet), indent=1) + "\n")
    if old is not None:
        print("\n".join(table.comparison(old, sheet, str(arguments.compare))))


def _against(arguments: argparse.Namespace, setting: Setting, chosen: Sequence[str]) -> None:
    """Raises ConfigError for a path that is no other checkout."""
    import json
    import sys
    from dataclasses import asdict

    from pgolf.bench import against, table
    from pgolf.core.atomic import write_text_atomic
    from pgolf.core.errors import UserError

    other, rounds = against.checkout(arguments.against), arguments.count or against.ROUNDS
    their_words = setting.words if arguments.their_words is None else tuple(arguments.their_words)
    changes: list[FigureChange] = []
    notes: list[str] = []
    for name in chosen:
        if name in against.LEFT_OUT:
            if arguments.chosen is not None:
                notes.append(f"{name}: not measured: is not of a checkout's code alone")
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            found = against.in_turns(name, other, setting, their_words, rounds)
        except UserError as error:  # one of the two has ended
            notes.append(f"{name}: not measured: {error}")
            continue
        changes += found.changes
        notes += found.notes
    title = (
        f"from {arguments.against} to here, {rounds} rounds of each in turns: medians of pairs, with their intervals"
    )
    print("\n".join(table.change_lines(changes, title, notes)))
    if arguments.json_out is not None:
        plain = {"changes": [asdict(change) | {"verdict": change.verdict} for change in changes], "notes": notes}
        write_text_atomic(arguments.json_out, json.dumps(plain, indent=1) + "\n")
