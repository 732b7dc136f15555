"""``pgolf report PATH ...``: what runs come to together. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "report",
        help="runs by experiment and seed: means, deviations, differences, and whether they beat a record",
        description=(
            "Gathers the runs in and below each PATH by config and seed. Only scores that count are averaged; every "
            "other run is named with the reason. Of several experiments, the differences to one, with intervals."
        ),
    )
    parser.add_argument("paths", type=home, nargs="*", metavar="PATH", help="run folders, or folders that hold some")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="RECORD",
        help="what to test against: runs, a record with a submission.json, logs, or a number of bits per byte",
    )
    parser.add_argument(
        "--score",
        choices=["final", "dev", "prequant", "roundtrip"],
        default="final",
        help="which score; only final is certified and may be a result (default: final)",
    )
    parser.add_argument(
        "--import-log",
        type=home,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="published logs, folders of them, or tables (#687's experiments.csv, #1026's results.tsv), beside ours",
    )
    parser.add_argument("--seeds", default="", metavar="1,2,3", help="seeds that each experiment should have")
    parser.add_argument("--base", default="", metavar="NAME", help="what differences are to: part of a name, or words")
    parser.add_argument(
        "--published", type=home, metavar="CSV", help="words, val_bpb, source: others' numbers, beside ours"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    parser.set_defaults(run=guarded("report", _run), open_list=("paths", home))


def _run(args: argparse.Namespace) -> None:
    from pgolf.core.errors import ConfigError
    from pgolf.report.ablation import read_published
    from pgolf.report.experiments import experiments
    from pgolf.report.gather import gather
    from pgolf.report.imports import imported
    from pgolf.report.page import report
    from pgolf.report.reference import read_reference

    if not args.paths and not args.import_log:
        raise ConfigError("PATH: name a folder of runs, such as runs/, or --import-log FILE")
    found, others = gather(args.paths, args.score), imported(args.import_log)
    made = report(
        experiments(found.entries, _seeds(args.seeds)),
        experiments(others.logs),
        [*found.problems, *others.problems],
        found.configs,
        rows=others.rows,
        base=args.base,
        rows_of_others=read_published(args.published) if args.published else (),
        references=[reference for word in args.against for reference in read_reference(word, args.score)],
    )
    print("\n".join(made.page().lines(markdown=args.markdown)))


def _seeds(text: str) -> list[int]:
    from pgolf.core.errors import ConfigError

    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise ConfigError(f"--seeds: {text!r} is no list of whole numbers such as 1,2,3") from None
