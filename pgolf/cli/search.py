"""``pgolf search FILE``: random search and successive halving. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pgolf.core.command import guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "search",
        help="random search or successive halving over the space of a sweep file",
        description=(
            "Takes sweep files whose study.by is search: axes may be intervals, study.rungs are the training steps of "
            "successive halving. Minimises dev; the same command again goes on where it was. Needs the extra: pip "
            "install 'pgolf[search]'."
        ),
    )
    parser.add_argument("file", type=home, metavar="FILE", help="such as sweeps/search_rates.yaml")
    parser.add_argument("words", nargs="*", metavar="WORD", help="in place of an axis or beside it, such as size=tiny")
    parser.set_defaults(run=guarded("search", _run), open_list=("words", str))


def _run(args: argparse.Namespace) -> int:
    from pgolf.config.options import conf_dir
    from pgolf.config.sweep_file import read_sweep
    from pgolf.core.errors import ConfigError
    from pgolf.report.table import Table
    from pgolf.run.search import SearchPlan, by_train_py, search

    sweep = read_sweep(args.file, args.words)
    if sweep.by != "search":
        raise ConfigError(f"{args.file}: study.by: search makes a space of a sweep file, with study.trials")
    root = Path(sweep.settings(())["run_root"])
    plan = SearchPlan(
        sweep.name, sweep.space, sweep.fixed, sweep.trials, sweep.rungs, sweep.factor, beside=sweep.told(())
    )
    trials = search(plan, root, by_train_py(conf_dir().parent / "train.py", sweep))
    rows = tuple(
        (str(trial.number), " ".join(trial.words), f"{trial.best:.4f}", str(max(trial.scores, default=0)), trial.state)
        for trial in sorted(trials, key=lambda trial: (trial.state != "complete", trial.best))
    )
    title = f"{sweep.name}: {sweep.heads['Question'] or 'no question stated'}"
    print("\n".join(Table(title, ("trial", "words", "dev", "steps", ""), rows).text()))
    return 0 if any(trial.state == "complete" for trial in trials) else 1
