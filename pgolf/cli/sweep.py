"""``pgolf sweep FILE RUN ...``: a sweep over finished runs. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "sweep",
        help="the grid of a sweep file on finished runs: evaluations, or quantizers, without training again",
        description=(
            "Takes sweep files whose study.by is compare or requantize; those that train are run by "
            "python train.py -cd sweeps -cn NAME. Looks at dev, and keeps what it has measured beside each run: the "
            "same command again goes on where it was. pgolf report FILE RUN ... shows what came of it."
        ),
    )
    parser.add_argument("file", type=home, metavar="FILE", help="such as sweeps/ngram_order.yaml")
    parser.add_argument("runs", type=home, nargs="+", metavar="RUN", help="folders of finished runs, or above them")
    parser.add_argument(
        "-w",
        "--word",
        action="append",
        default=[],
        metavar="WORD",
        help="in place of an axis or beside it, such as seed=1",
    )
    parser.set_defaults(run=guarded("sweep", _run), open_list=("runs", home))


def _run(args: argparse.Namespace) -> int:
    from pgolf.config.sweep_file import read_sweep
    from pgolf.core.errors import ConfigError
    from pgolf.report.gather import run_folders

    sweep = read_sweep(args.file, args.word)
    if sweep.by == "train":
        folder = args.file.parent
        raise ConfigError(f"{args.file}: trains its runs: python train.py -cd {folder} -cn {sweep.name}")
    runs = []
    for path in args.runs:
        if not path.exists():
            raise ConfigError(f"{path}: there is nothing here")
        runs += [run for run in run_folders(path) if (run / "artifact.pgolf").is_file()]
    if not runs:
        raise ConfigError("RUN: no finished run with an artifact there")
    from pgolf.run.measuring import measure

    return measure(sweep, list(dict.fromkeys(runs)))
