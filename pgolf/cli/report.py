"""``pgolf report PATH ...``: what runs come to together. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
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
    parser.add_argument(
        "paths",
        type=home,
        nargs="*",
        metavar="PATH",
        help="run folders, or folders that hold some, and sweep files (default: of runs/)",
    )
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
    parser.add_argument(
        "--out", type=home, metavar="FOLDER", help="of a sweep file: NAME.csv and NAME.svg go there as well"
    )
    parser.add_argument(
        "--html", type=home, metavar="OUT.html", help="also one page for a browser, of one run or of all, with pictures"
    )
    parser.add_argument(
        "-w",
        "--word",
        action="append",
        default=[],
        metavar="WORD",
        help="of a sweep file: a word that its command was given, such as size=tiny",
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

    files = [path for path in args.paths if path.suffix == ".yaml"]
    if files:
        _sweeps(args, files)
        return
    if args.out or args.word:
        raise ConfigError("--out, --word: for sweep files, such as pgolf report sweeps/seeds.yaml --out sweeps/results")
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
    if args.html:
        from pgolf.report.html.document import write_page

        print(f"{args.html}: {write_page(args.html, made, args.score):,} bytes", file=sys.stderr)


def _sweeps(args: argparse.Namespace, files: list[Path]) -> None:
    """The reports of sweep files over the runs in the other paths."""
    from pgolf.config.sweep_file import read_sweep
    from pgolf.core.errors import ConfigError
    from pgolf.report.sweep import sweep_report

    if args.import_log or args.against or args.base or args.published or args.seeds or args.score != "final":
        raise ConfigError("a sweep file says itself what is compared; --markdown, --html and --out are all it takes")
    if args.html and len(files) > 1:
        raise ConfigError("--html: one page is about one sweep; name one file")
    runs = [path for path in args.paths if path not in files] or [Path("runs")]
    for file in files:
        sweep = read_sweep(file, args.word)
        if sweep.by == "search":
            raise ConfigError(f"{file}: a search has no grid; pgolf search {file} shows its trials")
        made = sweep_report(sweep, runs)
        for table in made.tables():
            print("\n".join(table.markdown() if args.markdown else [*table.text(), ""]))
        if args.out:
            from pgolf.report.sweep_picture import draw_sweep, write_csv

            for write, ending in ((write_csv, "csv"), (draw_sweep, "svg")):
                out = args.out / f"{made.file.name}.{ending}"
                write(made, out)
                print(f"{out}: {out.stat().st_size:,} bytes")
        if args.html:
            from pgolf.report.html.document import write_page

            size = write_page(args.html, made.of_runs(), made.file.score, made)
            print(f"{args.html}: {size:,} bytes", file=sys.stderr)


def _seeds(text: str) -> list[int]:
    from pgolf.core.errors import ConfigError

    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise ConfigError(f"--seeds: {text!r} is no list of whole numbers such as 1,2,3") from None
