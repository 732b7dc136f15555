"""``pgolf sample ARTIFACT``: text from what was trained. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pgolf.core.command import at_least, guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "sample",
        help="let an artifact write: a prompt goes on as the model, with its counts and adaptation, would have it",
        description="Prints the prompt and what follows it as it comes. "
        "Words as for eval.py: eval.window=256 ngram=none mixer=none ...",
    )
    parser.add_argument("artifact", type=home, metavar="ARTIFACT", help="path of an artifact")
    parser.add_argument("words", nargs="*", metavar="WORD", help="eval, ttt, ngram, mixer and their keys")
    parser.add_argument("--tokens", type=at_least(1), default=200, help="how many (default: %(default)s)")
    parser.add_argument("--prompt", default="", help="what stands already (default: the beginning of a document)")
    parser.add_argument(
        "--temperature",
        type=_temperature,
        default=0.8,
        help="below 1 the likely becomes likelier, at 0 the likeliest is taken (default: %(default)s)",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the choices (default: %(default)s)")
    parser.set_defaults(run=guarded("sample", _run), open_list=("words", str))


def _run(args: argparse.Namespace) -> None:
    from pgolf.artifact.container import read
    from pgolf.config.eval_words import evaluation_nodes
    from pgolf.eval.from_artifact import evaluation_from
    from pgolf.eval.sampler import sample_text
    from pgolf.track.console import Console

    loaded = read(args.artifact)
    evaluation = evaluation_from(loaded, overrides=evaluation_nodes(args.words, loaded.header))
    asked = (evaluation, args.prompt, args.tokens, args.temperature, args.seed)
    if sys.stdout.isatty():  # the text itself shows how far it is, and a bar would run through it
        sample_text(*asked, write=_write)
    else:
        with Console(stream=sys.stderr).progress("sample", unit="tokens") as progress:
            sample_text(*asked, progress, _write)
    print()


def _write(text: str) -> None:
    print(text, end="", flush=True)


def _temperature(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number") from None
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is out of range: 0 or more")
    return number
