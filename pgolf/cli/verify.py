"""``pgolf verify FOLDER [TEXT ...]``: does a record's claim stand? Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pgolf.core.command import guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    from pgolf.proof.profiles import PROFILES

    parser = subparsers.add_parser(
        "verify",
        help="score and certify somebody's record again, and say whether its claim stands",
        description="Takes the folder of a run: its artifact, its script, its result. Counts the bytes, scores the "
        "artifact by that script in sealed processes and audits it at new places. Exit status 0: the claim stands, "
        "4: it does not, 3: it does, but took longer here than its budget allows, 2: there is nothing to judge.",
    )
    parser.add_argument(
        "folder", type=home, metavar="FOLDER", help="a run folder, runs/<name>/seed=<n>, or a record folder"
    )
    parser.add_argument(
        "texts",
        type=home,
        nargs="*",
        metavar="TEXT",
        help="the validation text, a file for each document or a folder of .txt (default: that of the run's data)",
    )
    parser.add_argument("--certify", choices=list(PROFILES), help="prove more than the record's certificate did")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="RECORD",
        help="of a record: compare what is found here with it",
    )
    parser.add_argument("--cache-dir", type=home, default=Path(".cache"), help="where prepared text is kept")
    parser.set_defaults(run=guarded("verify", _run), open_list=("texts", home))


def _run(args: argparse.Namespace) -> int:
    from pgolf.eval.sealed import check_sealed
    from pgolf.report.reference import read_reference
    from pgolf.run.verify import verify

    check_sealed()
    references = [reference for word in args.against for reference in read_reference(word)]
    return verify(args.folder, args.texts, args.certify, args.cache_dir, references)
