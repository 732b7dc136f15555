"""``pgolf compare ARTIFACT WORDS``: evaluations of one artifact on dev, side by side. Imports stay light until it runs.

Of each: what it claims, what its rows sum to, and what is left of the claim once they are divided by that and what a
decoder is told besides is counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.core.choices import expanded
from pgolf.core.command import at_least, guarded, home

if TYPE_CHECKING:
    import numpy as np

    from pgolf.core.results import Score
    from pgolf.eval.evaluation import Evaluation

_ROW = "{:<{width}} {:>9} {:>10} {:>10} {:>12} {:>11}"
_NO_LENGTH = 1e-4  # that a row may sum to more than one (the certificate's probe a)


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "compare",
        help="evaluations of an artifact on dev beside each other: claims, sums of the rows, claims divided by them",
        description=(
            "Words as for eval.py, several values with commas: ngram=backoff,hashed ngram.max_order=5,7 are four "
            "settings; after a lone / come the words of others. The network goes over the text once for each eval and "
            "ttt. Nothing is sealed or certified."
        ),
    )
    parser.add_argument("artifact", type=home, metavar="ARTIFACT", help="path of an artifact")
    parser.add_argument("words", nargs="*", metavar="WORD", help="eval, ttt, ngram, mixer and their keys; data, budget")
    parser.add_argument("--tokens", type=at_least(2), help="of dev, from --skip on (default: all)")
    parser.add_argument("--skip", type=at_least(0), default=0, help="so many tokens of dev (default: none)")
    parser.add_argument(
        "--two-pass",
        action="store_true",
        help="each also as in #846, no code length: the beginning is scored again when all of it has been learnt",
    )
    parser.add_argument(
        "--again",
        type=at_least(1),
        metavar="CHUNKS",
        help="with --two-pass, how many are scored again; #860 had 15 (default: 15 of 63, as #846)",
    )
    parser.set_defaults(run=guarded("compare", _run), open_list=("words", str))


def _run(arguments: argparse.Namespace) -> None:
    """Print the table. Raises ConfigError for words that do not fit, DataError for too little text."""
    from pgolf.artifact.container import read
    from pgolf.build import prepare_dataset
    from pgolf.config.eval_words import overrides_of, read_words
    from pgolf.core.errors import ConfigError, DataError
    from pgolf.eval.comparison import compare
    from pgolf.eval.from_artifact import evaluation_from
    from pgolf.tokenizer.blob import from_blob
    from pgolf.tokenizer.fixed import FixedTokenizer
    from pgolf.track.console import Console

    if arguments.again is not None and not arguments.two_pass:
        raise ConfigError("--again: chunks are scored again by --two-pass alone")
    loaded = read(arguments.artifact)
    settings = expanded(arguments.words)
    read_all = [_in_place(read_words, arguments.artifact, words) for words in settings]
    if any(words.settings["data"] != read_all[0].settings["data"] for words in read_all):
        raise ConfigError("data: one text for all settings that are compared")
    nodes = [overrides_of(words, loaded.header) for words in read_all]
    evaluations = [evaluation_from(loaded, overrides=overrides) for overrides in nodes]
    console = Console(stream=sys.stderr)
    with console.progress("prepare") as told:
        dataset = prepare_dataset(read_all[0].settings, told, FixedTokenizer(from_blob(loaded.tokenizer_blob)))
    stop = None if arguments.tokens is None else arguments.skip + arguments.tokens
    stream_N = dataset.stream("dev", stop)[arguments.skip :]
    if len(stream_N) < 2:
        raise DataError(f"--skip: {arguments.skip:,} leaves nothing of dev, which has {dataset.facts['dev'].tokens:,}")
    bytes_N = dataset.sidecar_target_bytes("dev", stop)
    target_bytes_N = None if bytes_N is None else bytes_N[arguments.skip :]
    alike: dict[str, list[int]] = {}
    for index, overrides in enumerate(nodes):
        alike.setdefault(repr([overrides.get(group) for group in ("eval", "ttt")]), []).append(index)
    width = max(len(_shown(words)) for words in settings)
    print(f"{len(stream_N) - 1:,} targets of dev")
    print(_ROW.format("words", "claimed", "mean Σp", "most Σp", "renormalised", "µs a token", width=width))
    for indices in alike.values():
        with console.progress("dev", unit="tokens") as told_dev:
            found = compare(
                [evaluations[index] for index in indices],
                stream_N,
                split="dev",
                subset=len(stream_N) < dataset.facts["dev"].tokens,
                target_bytes_N=target_bytes_N,
                progress=lambda _, done, total, told=told_dev: told("dev", done, total),
            )
        for index, compared in zip(indices, found, strict=True):
            score = compared.score
            _print_row(_shown(settings[index]), score, f"{1e6 * compared.stage_seconds / score.tokens:.1f}", width)
            if arguments.two_pass:
                _print_twice(evaluations[index], stream_N, target_bytes_N, score, width, arguments.again)


def _print_row(label: str, score: Score, stage_us: str, width: int, is_length: bool = True) -> None:
    """``is_length``: whether it may be a code length, as far as the sums of its rows tell."""
    print(
        _ROW.format(
            label,
            f"{score.claimed_bpb:.4f}",
            f"{score.sum_p_mean:.3f}",
            f"{score.sum_p_max:.2f}",
            f"{score.renormalised_bpb:.4f}",
            stage_us,
            width=width,
        )
        + ("" if is_length and score.sum_p_max <= 1 + _NO_LENGTH else "  no code length")
        + (f"  without {score.side_bits:,.0f} bits that are told besides" if score.side_bits else ""),
        flush=True,
    )


def _print_twice(
    evaluation: Evaluation,
    stream_N: np.ndarray,
    target_bytes_N: np.ndarray | None,
    once: Score,
    width: int,
    chunks_again: int | None,
) -> None:
    """The same by two passes, and what each chunk that was scored again cost in both."""
    from pgolf.proof.published.two_pass import score_twice

    how = {"split": once.split, "subset": once.subset}
    twice, chunks = score_twice(evaluation, stream_N, target_bytes_N, chunks_again, **how)
    _print_row("  in two passes", twice, "-", width, is_length=False)
    for chunk in chunks:
        print(f"  {chunk}", flush=True)


def _shown(words: Sequence[str]) -> str:
    return " ".join(words) or "as it is"


def _in_place(read_words: Any, artifact: Path, words: Sequence[str]) -> Any:
    return read_words([f"artifact={artifact}", f"out={artifact.with_name('certificate.eval.json')}", *words])
