"""``pgolf data fetch | prepare | inspect | audit | export | rivals``. Nothing heavy is imported before one runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pgolf.core.command import at_least, guarded, home

SPLIT_NAMES = ("train", "dev", "val")  # as data.dataset.SPLITS, which a parser does not import
_TOKENS_BEFORE = 4096

if TYPE_CHECKING:
    from pgolf.data.byte_audit import DocumentBytes
    from pgolf.data.published import PublishedFolder
    from pgolf.track.progress import ConsoleProgress


def add_parser(subparsers: Any) -> None:
    """Add ``data`` and its commands; each sets ``run(args) -> exit status``."""
    data = subparsers.add_parser("data", help="fetch, prepare, inspect, audit and export corpora")
    commands = data.add_subparsers(dest="data_command", required=True)

    fetch = commands.add_parser("fetch", help="download a published corpus")
    fetch.add_argument(
        "source",
        nargs="?",
        default="fineweb",
        help="an option of the group data: fineweb, fineweb_caseops, fineweb_docs",
    )
    fetch.set_defaults(run=guarded("data", _run_fetch))

    prepare = commands.add_parser("prepare", help="tokenize a corpus into shards")
    prepare.add_argument(
        "source", help="an option of the group data: sotu, text, tiny, fineweb, fineweb_caseops, fineweb_docs"
    )
    prepare.add_argument(
        "--workers", type=at_least(1), default=1, help="processes that tokenize; the shards are the same"
    )
    prepare.set_defaults(run=guarded("data", _run_prepare))

    audit = commands.add_parser(
        "audit",
        help="compare every way of counting bytes, document by document, and name what disagrees",
        description="Compares the bytes that the tokenizer counts, those of byte sidecars where there are any, those "
        "of what the ids decode to and those of the text where it is at hand. Prepares the corpus first where it has "
        "not been. Exit status 1 where they disagree.",
    )
    audit.add_argument("source", help="an option of the group data")
    audit.add_argument(
        "--documents",
        type=home,
        metavar="JSONL",
        help="for published shards: docs_selected.jsonl, whose first documents are validation",
    )
    audit.add_argument("--splits", nargs="+", choices=SPLIT_NAMES, default=["val", "dev"])
    audit.add_argument("--normalised", action="store_true", help="also name documents that differ by normalisation")
    audit.add_argument("--json", type=home, metavar="FILE", help="write a line for every document")
    audit.set_defaults(run=guarded("data", _run_audit), workers=1)

    export = commands.add_parser(
        "export", help="write the text of a split, its documents back to back, as 'pgolf compress' reads it"
    )
    export.add_argument("source", help="an option of the group data that has text: sotu, text, tiny, fineweb_docs")
    export.add_argument("out", type=home, metavar="OUT", help="the file to write")
    export.add_argument("--split", choices=SPLIT_NAMES, default="val", help="(default: val)")
    export.set_defaults(run=guarded("data", _run_export))

    rivals = commands.add_parser(
        "rivals",
        help="what general-purpose compressors make of a split, alone and when they have read the training text",
        description="Bytes and bits per byte of xz, zstd, brotli and PPMd. Primed: of training text and split together "
        "less those of training text alone, so a decoder owns the whole training text. PPMd needs the extra: pip "
        "install 'pgolf[bench]'.",
    )
    rivals.add_argument("source", help="an option of the group data that has text: sotu, text, tiny, fineweb_docs")
    rivals.add_argument("--split", choices=SPLIT_NAMES[1:], default="val", help="(default: val)")
    rivals.set_defaults(run=guarded("data", _run_rivals))

    for command in (prepare, audit, export, rivals):
        command.add_argument("--paths", nargs="+", help="for data=text: globs of .txt, .txt.gz, .txt.xz, .jsonl")
    for command in (fetch, prepare, audit, export, rivals):
        command.add_argument("--tokenizer", help="an option of the group tokenizer, such as bpe4096 or sp1024")
        command.add_argument("--cache-dir", type=home, default=Path(".cache"), help="where results are kept")
        command.add_argument(
            "--set",
            dest="overrides",
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="settings as for train.py: --set data.train_shards=1 size=tiny",
        )

    inspect = commands.add_parser(
        "inspect", help="verify a prepared corpus, or published shards, and print what is there"
    )
    inspect.add_argument("directory", type=home, help="a prepared corpus, or a folder of fineweb_*.bin")
    inspect.set_defaults(run=guarded("data", _run_inspect))


@contextmanager
def _progress(label: str) -> Iterator[ConsoleProgress]:
    """On standard error, so that standard output is the result alone."""
    from pgolf.track.console import Console

    with Console(stream=sys.stderr).progress(label) as progress:
        yield progress


def _build(args: argparse.Namespace) -> tuple[Any, Any]:
    """(source, tokenizer recipe) as train.py would build them. Raises ConfigError listing every problem."""
    from pgolf.config.check import bind_problems
    from pgolf.config.compose import checked
    from pgolf.config.groups import group_of
    from pgolf.config.words import quoted
    from pgolf.core.errors import ConfigError
    from pgolf.core.make import make

    paths = getattr(args, "paths", None)
    words = [*args.overrides, *([f"data.paths=[{','.join(map(quoted, paths))}]"] if paths else [])]
    tokenizer = args.tokenizer or ("sp1024" if args.source == "fineweb" else "bpe4096")
    for_source = [word for word in words if not word.startswith("tokenizer.")]
    for_tokenizer = [word for word in words if not word.startswith("data.")]
    nodes = {
        "data": checked([f"data={args.source}", *for_source])["data"],
        "tokenizer": checked([f"tokenizer={tokenizer}", *for_tokenizer])["tokenizer"],
    }
    problems = [
        problem
        for name, found in nodes.items()
        if (group := group_of(name)) is not None
        for problem in bind_problems(found, group, name)
    ]
    if problems:
        raise ConfigError(problems)
    return make(nodes["data"]), make(nodes["tokenizer"])


def _run_fetch(args: argparse.Namespace) -> None:
    from pgolf.core.errors import DataError

    source, recipe = _build(args)
    with _progress("fetch") as progress:
        paths = source.fetch(recipe, args.cache_dir, progress)
    if not paths:
        raise DataError(f"data={args.source} has nothing to fetch; fineweb and fineweb_docs have")
    for path in paths:
        print(path)


def _run_prepare(args: argparse.Namespace) -> None:
    _print_dataset(_prepared(args)[1])


def _prepared(args: argparse.Namespace) -> tuple[Any, Any]:
    """(source, data set)."""
    from contextlib import ExitStack

    from pgolf.config.compose import checked
    from pgolf.data.base import TextSource
    from pgolf.data.parallel import ParallelEncode

    source, recipe = _build(args)
    about_size = [word for word in args.overrides if word.startswith(("size=", "size."))]
    shard_tokens = int(checked(about_size)["size"]["shard_tokens"])
    with ExitStack() as stack:
        if args.workers > 1 and isinstance(source, TextSource):
            source.encode = stack.enter_context(ParallelEncode(args.workers))
        progress = stack.enter_context(_progress("prepare"))
        return source, source.prepare(recipe, args.cache_dir, shard_tokens, progress)


def _run_audit(args: argparse.Namespace) -> int:
    """1 where something disagrees."""
    import json
    from contextlib import ExitStack
    from dataclasses import asdict

    from pgolf.core.errors import DataError
    from pgolf.data.byte_audit import audit_bytes
    from pgolf.data.documents import read_jsonl

    source, dataset = _prepared(args)
    if args.documents is not None and source.has_text:
        raise DataError(f"--documents: data={source.name} has its own text; it is for published shards")
    faults = 0
    with ExitStack() as stack:
        file = None if args.json is None else stack.enter_context(_opened(args.json))
        print(
            f"{'split':<6} {'documents':>10} {'counted':>14} {'sidecar':>14} {'decoded':>14} {'raw':>14} {'faults':>7}"
        )
        for split in args.splits:
            texts = source.documents(split) if source.has_text else None
            if args.documents is not None and split == "val":
                texts = read_jsonl(args.documents)
            found, named = _Totals(), []
            for document in audit_bytes(dataset, split, texts, every_text=source.has_text):
                found.add(document)
                named += [f"{split} {document.name}: {fault}" for fault in document.faults]
                if document.normalised is not None and args.normalised:
                    named.append(f"{split} {document.name}: {document.normalised}")
                if file is not None:
                    file.write(json.dumps(asdict(document)) + "\n")
            print(found.line(split))
            for line in named:
                print(line)
            if found.normalised:
                print(f"{split}: {found.normalised:,} documents differ from their text by normalisation")
            faults += found.faults
    print("every count agrees" if not faults else f"{faults:,} disagreements")
    return 1 if faults else 0


def _opened(path: Path) -> TextIO:
    from pgolf.core.errors import DataError

    try:
        return open(path, "w")
    except OSError as error:
        raise DataError(f"--json: {path} cannot be written ({error.strerror or error})") from error


class _Totals:
    """Of a split's documents; what is not at hand stays None."""

    def __init__(self) -> None:
        self.documents = self.faults = self.normalised = 0
        self.bytes: dict[str, int | None] = dict.fromkeys(("counted", "sidecar", "decoded", "raw"))

    def add(self, document: DocumentBytes) -> None:
        self.documents += 1
        self.faults += len(document.faults)
        self.normalised += document.normalised is not None
        for name in self.bytes:
            value = getattr(document, name)
            if value is not None:
                self.bytes[name] = (self.bytes[name] or 0) + value

    def line(self, split: str) -> str:
        shown = " ".join(f"{'-' if value is None else f'{value:,}':>14}" for value in self.bytes.values())
        return f"{split:<6} {self.documents:>10,} {shown} {self.faults:>7,}"


def _run_export(args: argparse.Namespace) -> None:
    import hashlib

    from pgolf.cli.compress import refuse_place
    from pgolf.core.atomic import write_bytes_atomic

    text, documents = _text(args, _source_of_text(args), args.split)
    refuse_place(args.out)
    write_bytes_atomic(args.out, text)
    print(f"{args.source}, {args.split}: {documents:,} documents, {len(text):,} bytes, sha256", end=" ")
    print(hashlib.sha256(text).hexdigest())


def _run_rivals(args: argparse.Namespace) -> None:
    from pgolf.data.rivals import missing, rivals

    source = _source_of_text(args)
    training, _ = _text(args, source, "train")
    text, documents = _text(args, source, args.split)
    print(
        f"{args.source}, {args.split}: {documents:,} documents, {len(text):,} bytes; training {len(training):,} bytes"
    )
    print(f"{'':<16} {'alone':>12} {'bits/byte':>10} {'primed':>12} {'bits/byte':>10}")
    for name, alone_bytes, primed_bytes in rivals(training, text):
        cells = (f"{size:>12,} {8 * size / len(text):>10.4f}" for size in (alone_bytes, primed_bytes))
        print(f"{name:<16} {' '.join(cells)}", flush=True)
    for name in missing():
        print(f"{name:<16} not measured: pip install 'pgolf[bench]'")


def _source_of_text(args: argparse.Namespace) -> Any:
    """The source, with all its text at hand. Raises DataError for one without."""
    from pgolf.core.errors import DataError

    source, recipe = _build(args)
    if not source.has_text:
        raise DataError(f"data={args.source}: published shards come without text; sotu, text, fineweb_docs have it")
    with _progress("fetch") as progress:
        source.fetch(recipe, args.cache_dir, progress)
    return source


def _text(args: argparse.Namespace, source: Any, split: str) -> tuple[bytes, int]:
    """(bytes of a split's documents back to back, how many). Raises DataError where there is none."""
    from pgolf.core.errors import DataError
    from pgolf.data.base import raw_documents

    documents = raw_documents(source, args.cache_dir, split)
    if not documents:
        raise DataError(f"data={args.source}: {split} has no document")
    return "".join(documents).encode(), len(documents)


def _run_inspect(args: argparse.Namespace) -> None:
    from pgolf.data.dataset import MANIFEST, load
    from pgolf.data.published import published_folder

    if os.path.isfile(args.directory / MANIFEST):
        _print_dataset(load(args.directory, full=True), verified=True)
    else:
        _print_published(published_folder(args.directory))


def _print_dataset(dataset: Any, verified: bool = False) -> None:
    from pgolf.data.dataset import SPLITS, read_manifest

    manifest = read_manifest(dataset.directory)
    tokenizer = dataset.tokenizer
    print(f"{dataset.name}  {dataset.directory}")
    print(
        f"tokenizer {tokenizer.name}, {tokenizer.vocab_size:,} ids, BOS {tokenizer.bos_id}, bytes by {tokenizer.metric}"
    )
    print(f"fingerprint {dataset.fingerprint}")
    print(f"{'split':<6} {'documents':>10} {'tokens':>14} {'counted bytes':>14} {'raw bytes':>14} {'bytes/token':>11}")
    for split in SPLITS:
        facts = dataset.facts[split]
        counted = counted_bytes(dataset, split)
        raw = "-" if facts.raw_bytes is None else f"{facts.raw_bytes:,}"
        print(
            f"{split:<6} {facts.documents:>10,} {facts.tokens:>14,} {counted:>14,} {raw:>14} "
            f"{counted / max(1, facts.tokens - 1):>11.5f}"
        )
    for split in SPLITS:
        for entry in [*manifest["shards"][split], *manifest["sidecars"].get(split, [])]:
            name = entry["path"].rsplit("/", 1)[-1]
            print(f"{split:<6} {name}  [{entry['start']:,}, {entry['stop']:,})  sha256 {entry['sha256']}")
    print("every size, checksum and id verified" if verified else "prepared")


def _print_published(folder: PublishedFolder) -> None:
    """Raises DataError for the first damaged shard."""
    from pgolf.data.published import bos_of, facts_of

    bos_id = bos_of(folder)
    print(f"published shards  {folder.path}")
    print(f"no manifest to hold them to; the first document begins with id {bos_id}, taken as BOS")
    print(f"{'split':<6} {'documents':>10} {'tokens':>14} {'largest id':>11}")
    listing = []
    for split, paths in (("train", folder.train), ("val", folder.val)):
        shards = [facts_of(path, bos_id) for path in paths]
        documents, tokens = sum(s.documents for s in shards), sum(s.tokens for s in shards)
        print(f"{split:<6} {documents:>10,} {tokens:>14,} {max((s.largest_id for s in shards), default=0):>11,}")
        listing += [(split, shard) for shard in shards]
    listing += [("bytes", facts_of(path, bos_id)) for path in folder.sidecars]
    for label, shard in listing:
        print(f"{label:<6} {shard.path.name}  [0, {shard.tokens:,})  sha256 {shard.sha256}")
    print("every header and size verified")


def counted_bytes(dataset: Any, split: str) -> int:
    """Bytes by the tokenizer's metric (or sidecar) over a whole split, one slice at a time, int64 sums.

    Each slice is counted after the end of the one before: what a token carries may hang on a few tokens before it.
    """
    import numpy as np

    total = 0
    before = np.zeros(0, dtype=np.uint16)
    if dataset.sidecars.get(split):
        return int(dataset.target_bytes(split).sum())
    for piece in dataset.shards[split]:
        tokens_N = np.concatenate([before, piece.open()])
        total += int(dataset.tokenizer.byte_lengths(tokens_N)[max(0, len(before) - 1) :].sum())
        before = tokens_N[-_TOKENS_BEFORE:]
    return total
