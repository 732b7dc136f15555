"""From documents to a prepared data set: check, learn the tokenizer, encode, write shards, remember."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.core.errors import DataError
from pgolf.core.protocols import Corpus, Progress
from pgolf.data.audit import Overlap, text_hash
from pgolf.data.dataset import SPLITS, Dataset, SplitFacts, building, is_made, load, write_manifest
from pgolf.data.near import NearOverlap
from pgolf.data.shards import ShardWriter, whole
from pgolf.tokenizer.blob import identity
from pgolf.tokenizer.recipe import PortableTokenizer, Recipe

FORMAT_VERSION = 2  # 1 had no search for documents that are nearly in two splits


def silent(label: str, done: int, total: int | None) -> None:
    """A progress callback that says nothing."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What one reading of a corpus shows. ``fingerprint`` (hex) covers every document and its split."""

    fingerprint: str
    documents: dict[str, int]
    raw_bytes: dict[str, int]


def survey(corpus: Corpus, name: str, progress: Progress = silent) -> Survey:
    """Read every document once: fingerprint, counts, and the overlap check.

    Raises DataError if a split is empty or a held-out document is in another split too.
    """
    digest = hashlib.sha256()
    overlap = Overlap()
    documents, raw_bytes = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    for split in ("val", "dev", "train"):
        for document, text in corpus.documents(split):
            raw = encoded(text, document)
            mark = text_hash(text)
            if split != "train" or any(mark in held for held in overlap.held.values()):
                overlap.add(split, document, mark)
            digest.update(f"{split} {len(raw)}\n".encode() + raw)
            documents[split] += 1
            raw_bytes[split] += len(raw)
            if documents[split] % 64 == 0:
                progress(f"reading {name}", sum(raw_bytes.values()), None)
    empty = [split for split in SPLITS if not documents[split]]
    if empty:
        total = sum(documents.values())
        raise DataError(
            f"data={name}: {total} documents are too few, nothing is left for {' and '.join(empty)}; "
            "at least 10 are needed (more text, or for data=text a smaller document_bytes)"
        )
    overlap.require_none(f"data={name}")
    return Survey(digest.hexdigest(), documents, raw_bytes)


def encoded(text: str, where: str) -> bytes:
    """UTF-8 of ``text``. Raises DataError for lone surrogates, which JSON can spell."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: not valid Unicode (character {error.start} is a lone surrogate)") from error


# (name, text) of documents in order to (name, text, ids), in the same order.
Encode = Callable[[PortableTokenizer, Iterator[tuple[str, str]]], Iterator[tuple[str, str, np.ndarray]]]


def encode_each(
    tokenizer: PortableTokenizer, documents: Iterator[tuple[str, str]]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """One after another, in this process."""
    for name, text in documents:
        yield name, text, tokenizer.encode(text)


def prepare_documents(
    corpus: Corpus,
    *,
    name: str,
    recipe: Recipe,
    cache_dir: Path,
    shard_tokens: int,
    progress: Progress,
    encode: Encode = encode_each,
) -> Dataset:
    """The data set for this content, tokenizer and shard size, from the cache where it has been made before.

    Raises DataError.
    """
    found = survey(corpus, name, progress)

    def train_texts() -> Iterator[str]:
        return (text for _, text in corpus.documents("train"))

    progress("tokenizer", 0, None)
    tokenizer = recipe.build(train_texts, Path(cache_dir), found.fingerprint)
    key_parts = (FORMAT_VERSION, found.fingerprint, identity(tokenizer), shard_tokens)
    key = hashlib.sha256(repr(key_parts).encode()).hexdigest()[:16]
    directory = Path(cache_dir) / "datasets" / f"{name}-{tokenizer.name}-{key}"
    if not is_made(directory):
        with building(directory) as temporary:
            _encode(corpus, name, tokenizer, temporary, shard_tokens, found, progress, encode)
    return load(directory)


def _encode(
    corpus: Corpus,
    name: str,
    tokenizer: PortableTokenizer,
    directory: Path,
    shard_tokens: int,
    found: Survey,
    progress: Progress,
    encode: Encode,
) -> None:
    total, done = sum(found.raw_bytes.values()), 0
    shards: dict[str, Any] = {}
    facts: dict[str, SplitFacts] = {}
    near = NearOverlap()
    for split in reversed(SPLITS):  # what is held out comes before training
        writer = ShardWriter(
            directory=directory,
            split=split,
            vocab_size=tokenizer.vocab_size,
            bos_id=tokenizer.bos_id,
            tokens_per_shard=shard_tokens,
        )
        for document, text, ids_n in encode(tokenizer, corpus.documents(split)):
            writer.add(ids_n)
            if split == "train":
                near.see(document, text)
            else:
                near.hold(split, document, text)
            done += len(text.encode())
            progress("encoding", done, total)
        shards[split] = whole(writer.close())
        facts[split] = SplitFacts(writer.tokens, writer.documents, found.raw_bytes[split])
    if done != total or {s: f.documents for s, f in facts.items()} != found.documents:
        raise DataError(f"data={name}: the text changed while it was being read; run again")
    shared = near.require_none(f"data={name}")
    write_manifest(
        directory,
        name=name,
        tokenizer=tokenizer,
        shards=shards,
        facts=facts,
        sidecars={},
        notes={"corpus_sha256": found.fingerprint, "overlapping_documents": 0, "largest_shared_part": shared},
        progress=progress,
    )
