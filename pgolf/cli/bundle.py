"""``pgolf bundle``: a finished run as one script. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, home, run_folder


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "bundle",
        help="a finished run as one script, with its artifact, requirements and README",
        description="Writes a self-contained train_gpt.py that trains, and scores the artifact beside it.",
    )
    parser.add_argument("folder", type=run_folder, metavar="RUN", help="a run folder, runs/<name>/seed=<n>")
    parser.add_argument("out", type=home, metavar="OUT", help="a new or empty folder")
    parser.add_argument(
        "--ascii",
        action="store_true",
        help="for a receiver that takes only ASCII: a script of 13 %% more bytes than the run counted",
    )
    parser.set_defaults(run=guarded("bundle", _run))


def _run(args: argparse.Namespace) -> None:
    from pgolf.bundle.folder import bundle_run

    print("\n".join(bundle_run(args.folder, args.out, ascii=args.ascii)))
