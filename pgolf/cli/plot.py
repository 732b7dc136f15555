"""``pgolf plot``: a run's curves, or a sweep's, as one picture. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, home, run_folder


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "plot",
        help="training loss and dev score of a run, or a sweep over buckets, as one picture",
        description=(
            "Draws metrics.jsonl of a run, with what hook=[norms,activations,controls] watched in it, or the table of "
            "a sweep over the buckets of ngram=hashed, such as sweeps/results/buckets.csv. Needs the extra: pip "
            "install 'pgolf[plot]'."
        ),
    )
    parser.add_argument("folder", type=run_folder, metavar="RUN", help="a run folder, runs/<name>/seed=<n>, or a .csv")
    parser.add_argument("out", type=home, metavar="OUT", help="the picture: .svg, .png or .pdf")
    parser.set_defaults(run=guarded("plot", _run))


def _run(args: argparse.Namespace) -> None:
    from pgolf.track.buckets import draw_buckets
    from pgolf.track.curves import draw_curves

    draw = draw_buckets if args.folder.suffix == ".csv" else draw_curves
    draw(args.folder, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")
