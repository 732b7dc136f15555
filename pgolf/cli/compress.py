"""``pgolf compress ARTIFACT TEXT OUT``: a file in as few bytes as a score promises. Light until it runs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from pgolf.core.command import guarded, home

KEPT = {"brotli": "kept by brotli", "stored": "kept as it is"}  # by form


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "compress",
        help="compress a text with an artifact",
        description="Lossless for every file. 'pgolf decompress' needs the same artifact, and a machine that computes "
        "the same bits. Words as for eval.py; eval.lanes=16 makes decompressing faster and the file a little larger.",
    )
    parser.add_argument("artifact", type=home, metavar="ARTIFACT", help="path of an artifact")
    parser.add_argument("text", type=home, metavar="TEXT", help="the file to compress")
    parser.add_argument("out", type=home, metavar="OUT", help="where the compressed file goes")
    parser.add_argument("words", nargs="*", metavar="WORD", help="eval, ttt, ngram, mixer and their keys")
    parser.set_defaults(run=guarded("compress", _run))


def _run(args: argparse.Namespace) -> None:
    from pgolf.artifact.container import read
    from pgolf.config.eval_words import evaluation_nodes
    from pgolf.core.atomic import write_bytes_atomic
    from pgolf.proof.codec import compress
    from pgolf.track.console import Console

    started = time.perf_counter()
    data = content(args.text)
    overrides = evaluation_nodes(args.words, read(args.artifact).header) if args.words else {}
    refuse_place(args.out, args.artifact, args.text)
    with Console(stream=sys.stderr).progress("encode", unit="tokens") as progress:
        done = compress(args.artifact, data, overrides, progress)
    write_bytes_atomic(args.out, done.data)
    size = f"{len(data):,} bytes -> {len(done.data):,} bytes"
    if done.form == "coded":
        how = f"{done.tokens:,} tokens"
    elif not done.tokens:
        how = f"{KEPT[done.form]}: {'it is no text for this tokenizer' if data else 'it is empty'}"
    else:
        how = f"{KEPT[done.form]}: smaller than by the model"
    per_byte = f", {8 * len(done.data) / len(data):.4f} bits per byte" if data else ""
    print(f"{args.out}: {size}{per_byte}, {how}, {time.perf_counter() - started:.1f} s")


def content(path: Path) -> bytes:
    """Raises DataError where the file cannot be read."""
    from pgolf.core.errors import DataError

    if path.is_char_device() or path.is_block_device():  # some never end
        raise DataError(f"{path}: a device, not a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def refuse_place(out: Path, *inputs: Path) -> None:
    """Raise ConfigError, before the long work, for a place where nothing can be written or something is lost."""
    import os

    from pgolf.core.errors import ConfigError

    if out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{out}: is no file that could be written")
    if any(out.exists() and given.exists() and out.samefile(given) for given in inputs):
        raise ConfigError(f"{out}: is what is read; choose another place")
