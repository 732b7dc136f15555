"""``pgolf requantize``: a finished run's weights stored otherwise. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from typing import Any

from pgolf.core.command import guarded, run_folder


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "requantize",
        help="quantize, pack, score and certify a finished run's weights again",
        description="Takes the words of train.py that concern what comes after training: quant, compressor, eval, "
        "ttt, ngram, mixer and their keys. Commas sweep; stop_after=dev scores dev only, and validation stays closed.",
    )
    parser.add_argument("folder", type=run_folder, metavar="RUN", help="a run folder, runs/<name>/seed=<n>")
    parser.add_argument("words", nargs="*", metavar="WORD", help="quant=int6_rtn quant.bits=5 compressor=lzma ...")
    parser.set_defaults(run=guarded("requantize", _run))


def _run(args: argparse.Namespace) -> int:
    from pgolf.run.requantize import requantize

    return requantize(args.folder, args.words)
