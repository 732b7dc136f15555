"""``pgolf runs``: what was run, filtered, sorted and compared. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.core.command import at_least, guarded, home

if TYPE_CHECKING:
    from pgolf.report.history import HistoryRow, RunHistory

_COLUMNS = "date,run,status,score,dev,bytes,steps,ms_per_step,train_seconds,certificate"
_DIGITS = {"score": 4, "dev": 4, "ms_per_step": 1, "train_seconds": 1, "eval_seconds": 1}


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "runs",
        help="runs listed, filtered, sorted; two of them compared",
        description=(
            "Filters: status=finished, name~pr1204, 'score<1.25', 'date>2026-11-20', valid=true, and keys of the "
            "configs: mixer=tree, 'optimizer.matrix_lr>=0.02'. All must hold. --diff says what changed between two "
            "runs: folders, best (the lowest score that counts), last (that ended last), now (what train.py would run)."
        ),
    )
    parser.add_argument("words", nargs="*", metavar="FOLDER|FILTER", help="where to look (default: runs), and filters")
    parser.add_argument("--sort", default="-date", metavar="KEY", help="a field or a config's key; -KEY descends")
    parser.add_argument("--limit", type=at_least(0), default=30, help="rows shown; 0 shows all (default: 30)")
    parser.add_argument("--columns", default=_COLUMNS, metavar="KEYS", help="fields and keys of configs, with commas")
    parser.add_argument("--diff", nargs=2, metavar=("OLD", "NEW"), help="two runs, such as best last, or best now")
    parser.set_defaults(run=guarded("runs", _run), open_list=("words", str))


def _run(args: argparse.Namespace) -> None:
    from pgolf.report.history import RunHistory, is_filter

    folders = [home(word) for word in args.words if home(word).exists() or not is_filter(word)]
    filters = [word for word in args.words if not home(word).exists() and is_filter(word)]
    history = RunHistory(folders or [Path("runs")])
    rows = history.chosen(filters, args.sort)
    lines = _difference(history, rows, *args.diff) if args.diff else _listed(history, rows, args)
    print("\n".join(lines))


def _listed(history: RunHistory, rows: list[HistoryRow], args: argparse.Namespace) -> list[str]:
    from pgolf.report.table import Table

    keys = [key.strip() for key in args.columns.split(",") if key.strip()]
    history.require(keys)
    shown = rows[: args.limit or None]
    cells = tuple(tuple(_cell(key, history.value(row, key)) for key in keys) for row in shown)
    notes = [f"{len(rows):,} of {len(history.rows):,} runs"]
    if len(shown) < len(rows):
        notes.append(f"{len(rows) - len(shown):,} more; --limit 0 shows all")
    notes += [f"{row.run}: {row.why}" for row in shown if row.status == "unreadable"]
    return Table("runs", tuple(keys), cells, tuple(notes)).text()


def _difference(history: RunHistory, rows: list[HistoryRow], old_word: str, new_word: str) -> list[str]:
    from pgolf.config.saved import differences
    from pgolf.report.history import RunChange, changed
    from pgolf.report.table import Table

    old = _named(history, rows, old_word)
    if new_word == "now":
        from pgolf.config.compose import checked

        found = RunChange(tuple(differences(history.config(old), checked([]))), ())
        title = f"{old.run} → python train.py"
    else:
        new = _named(history, rows, new_word)
        found, title = changed(history, old, new), f"{old.run} → {new.run}"
    table = Table(title, ("setting", "old", "new"), tuple((one.key, one.old, one.new) for one in found.settings))
    lines = table.text() if found.settings else [title, "  the same settings"]
    if found.results:
        cells = tuple((name, _cell(name, a), _cell(name, b), _step(name, a, b)) for name, a, b in found.results)
        lines += ["", *Table("what came of it", ("", "old", "new", "change"), cells).text()]
    return lines


def _named(history: RunHistory, rows: list[HistoryRow], word: str) -> HistoryRow:
    from pgolf.core.errors import RunError
    from pgolf.report.history import best, last, read_row

    if word in ("best", "last"):
        return best(rows) if word == "best" else last(rows)
    path = home(word)
    fitting = [row for row in history.rows if row.run == word.rstrip("/")]
    if len(fitting) == 1:
        return fitting[0]
    if not path.is_dir():
        raise RunError(f"--diff: {word!r} is none of best, last, now (as NEW), a run's folder, or a run listed here")
    return read_row(path)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:,.{_DIGITS.get(key, 6)}f}"
    return f"{value:,}" if isinstance(value, int) and key != "seed" else str(value)


def _step(key: str, old: Any, new: Any) -> str:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (old, new)):
        return ""
    return f"{new - old:+,.{_DIGITS.get(key, 0)}f}"
