"""``pgolf record RUN ... OUT``: runs of one config as a folder to hand in. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "record",
        help="seeds of one config as a record folder, checked against the rules",
        description=(
            "Writes README.md, submission.json, the script, and of each seed artifact, log and result; then checks the "
            "folder. Exit status 0: all checks pass, 3: bytes or seconds are over, 4: a certificate does not hold, "
            "2: something is missing. pgolf verify takes the folder."
        ),
    )
    parser.add_argument("runs", type=home, nargs="+", metavar="RUN", help="run folders of one config, or their folder")
    parser.add_argument("out", type=home, metavar="OUT", help="a new or empty folder")
    parser.add_argument("--author", default="", help="your name")
    parser.add_argument("--github-id", default="", metavar="ID")
    parser.add_argument("--name", default="", help="of the record (default: that of the folder)")
    parser.add_argument("--blurb", default="", metavar="TEXT", help="what it is, in a paragraph")
    parser.add_argument("--date", default="", metavar="YYYY-MM-DD", help="default: today")
    parser.add_argument("--against", action="append", default=[], metavar="RECORD", help="as for pgolf report")
    parser.add_argument(
        "--ablations",
        type=home,
        nargs="+",
        default=[],
        metavar="PATH",
        help="runs of other configs, compared with these",
    )
    parser.set_defaults(run=guarded("record", _run))


def _run(args: argparse.Namespace) -> int:
    from datetime import date, datetime, timezone

    from pgolf.core.errors import ConfigError
    from pgolf.report.ablation import ablation_table
    from pgolf.report.experiments import experiments
    from pgolf.report.gather import gather
    from pgolf.report.record import write_record
    from pgolf.report.reference import read_reference
    from pgolf.report.stated import About

    try:
        day = date.fromisoformat(args.date) if args.date else datetime.now(timezone.utc).date()
    except ValueError:
        raise ConfigError(f"--date: {args.date!r} is no date such as 2026-03-31") from None
    about = About(args.author, args.github_id, args.name or args.out.resolve().name, args.blurb, day.isoformat())
    tables = []
    if args.ablations:
        own = {entry.key for entry in gather(args.runs).entries}
        found = gather([*args.runs, *args.ablations])
        made = experiments(found.entries)
        tables = [ablation_table(made, one, found.configs) for one in made if one.key in own][:1]
    references = [reference for word in args.against for reference in read_reference(word)]
    checks = write_record(args.runs, args.out, about, references, tables)
    print("\n".join(map(str, checks)))
    failed = [check for check in checks if check.passed is False]
    print(f"{args.out}: {len(failed)} of {len(checks)} checks fail" if failed else f"{args.out}: no check fails")
    return max((check.status for check in failed), default=0)
