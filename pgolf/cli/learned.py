"""``pgolf learned``: a run's gates, lanes, skips and gains. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, run_folder


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "learned",
        help="print what a run has learned of its gates, lanes, skip weights and gains, by layer",
        description="Reads weights.pt of a run, also of one that broke off. --only shows what has a text in its name.",
    )
    parser.add_argument("folder", type=run_folder, metavar="RUN", help="a run folder, runs/<name>/seed=<n>")
    parser.add_argument("--only", default="", metavar="TEXT", help="such as lanes, q_gain, skip")
    parser.set_defaults(run=guarded("learned", _run))


def _run(args: argparse.Namespace) -> None:
    """Raises RunError for a folder without weights, or with another model's."""
    from pgolf.arch.learned import learned_table
    from pgolf.core.errors import RunError
    from pgolf.report.learned import learned_of_run

    rows = [row for row in learned_of_run(args.folder) if args.only in row.name]
    if not rows:
        raise RunError(f"--only: nothing that this run has learned is called {args.only!r}")
    print("\n".join(learned_table(rows)))
