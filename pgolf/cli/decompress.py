"""``pgolf decompress ARTIFACT IN OUT``: what ``pgolf compress`` made, as it was. Light until it runs."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from pgolf.cli.compress import content, refuse_place
from pgolf.core.command import guarded, home


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "decompress",
        help="give back what 'pgolf compress' compressed",
        description="Takes one forward pass a token. Nothing is written unless the checksum of the whole text holds.",
    )
    parser.add_argument("artifact", type=home, metavar="ARTIFACT", help="the artifact that compressed it")
    parser.add_argument("packed", type=home, metavar="IN", help="the compressed file")
    parser.add_argument("out", type=home, metavar="OUT", help="where the text goes")
    parser.set_defaults(run=guarded("decompress", _run))


def _run(args: argparse.Namespace) -> None:
    from pgolf.core.atomic import write_bytes_atomic
    from pgolf.core.errors import DataError
    from pgolf.proof.codec import decompress
    from pgolf.track.console import Console

    started = time.perf_counter()
    packed = content(args.packed)
    refuse_place(args.out, args.artifact, args.packed)
    with Console(stream=sys.stderr).progress("decode", unit="tokens") as progress:
        try:
            data = decompress(args.artifact, packed, progress)
        except DataError as error:
            raise DataError(f"{args.packed}: {error}") from error
    write_bytes_atomic(args.out, data)
    print(f"{args.out}: {len(packed):,} bytes -> {len(data):,} bytes, {time.perf_counter() - started:.1f} s")
