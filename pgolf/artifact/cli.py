"""``pgolf bundle`` and ``pgolf requantize``. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pgolf.core.command import guarded


def add_parser(subparsers: Any) -> None:
    """Add both commands; each sets ``run(args) -> exit status``."""
    bundle = subparsers.add_parser(
        "bundle",
        help="a finished run as one script, with its artifact, requirements and README",
        description="Writes a self-contained train_gpt.py that trains, and scores the artifact beside it.",
    )
    bundle.add_argument("folder", type=Path, metavar="RUN", help="a run folder, runs/<name>/seed=<n>")
    bundle.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
    bundle.set_defaults(run=guarded("bundle", _bundle))

    again = subparsers.add_parser(
        "requantize",
        help="quantize, pack, score and certify a finished run's weights again",
        description="Takes the words of train.py that concern what comes after training: quant, compressor, eval, "
        "ttt, ngram, mixer and their keys. Commas sweep; final=false scores dev only, and validation stays closed.",
    )
    again.add_argument("folder", type=Path, metavar="RUN", help="a run folder, runs/<name>/seed=<n>")
    again.add_argument(
        "words", nargs="*", metavar="WORD", help="quant=int6_rtn quant.bits=5 compressor=lzma ..."
    )
    again.set_defaults(run=guarded("requantize", _requantize))


def _bundle(args: argparse.Namespace) -> None:
    from pgolf.bundle import bundle_run

    print("\n".join(bundle_run(args.folder, args.out)))


def _requantize(args: argparse.Namespace) -> int:
    from pgolf.requantize import requantize

    return requantize(args.folder, args.words)
