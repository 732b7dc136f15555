"""Do all ways of counting a document's bytes agree? Of its ids, of its sidecar, of what it decodes to, of its text.

A miscount is silent: a space counted twice, byte tokens counted as three or six bytes, sidecars that drift by a
character make a score better and nothing else shows it (spec data §7). Document by document:

* ``counted``: by the tokenizer's own rule, the one a score divides by where there is no sidecar;
* ``sidecar``: from per-token byte files, where the split has them;
* ``decoded``: UTF-8 bytes of what the ids decode to;
* ``raw``: of the text, where it is at hand.

Metric ``raw``: all must be equal. Metric ``table``: counted equals decoded, a sidecar equals the text without white
space at its ends (which has no piece), and where the text is at hand its ids are those of the shard; that the text has
other bytes than its normalised form is ``normalised`` and no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from pgolf.core.errors import DataError
from pgolf.data.dataset import Dataset
from pgolf.data.shards import documents_of, read_stream
from pgolf.tokenizer.recipe import PortableTokenizer

_SHOWN_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class DocumentBytes:
    """Of one document; None: not at hand. ``faults`` are disagreements in words, ``normalised`` one that is none."""

    split: str
    name: str
    tokens: int
    counted: int
    sidecar: int | None
    decoded: int
    raw: int | None
    faults: tuple[str, ...]
    normalised: str | None


def audit_bytes(
    dataset: Dataset, split: str, texts: Iterable[tuple[str, str]] | None = None, every_text: bool = True
) -> Iterator[DocumentBytes]:
    """Every document of a split in order. ``texts``: (name, text) of its documents in the same order, where they are at
    hand; ``every_text``: they are neither more nor fewer.

    Raises DataError where shards, sidecars and texts do not belong together.
    """
    documents = _documents(dataset, split)
    if texts is None:
        for index, (ids_n, carried_n) in enumerate(documents):
            yield document_bytes(dataset.tokenizer, split, f"document {index}", ids_n, carried_n, None)
        return
    for index, (document, named) in enumerate(zip_longest(documents, texts)):
        if document is None and not every_text:
            return
        if document is None or named is None:
            more = "text" if document is None else "the shards"
            raise DataError(f"{split}: {more} goes on after document {index - 1}; they are not of one another")
        (ids_n, carried_n), (name, text) = document, named
        yield document_bytes(dataset.tokenizer, split, name, ids_n, carried_n, text)


def _documents(dataset: Dataset, split: str) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """(ids, sidecar) of each, BOS included."""
    slices, bos_id = dataset.shards[split], dataset.tokenizer.bos_id
    if not dataset.sidecars.get(split):
        yield from ((ids_n, None) for ids_n in documents_of(slices, bos_id))
        return
    tokens_N, carried_N = read_stream(slices), read_stream(dataset.sidecars[split])
    if len(tokens_N) != len(carried_N):
        raise DataError(f"{split}: byte sidecars have {len(carried_N):,} entries for {len(tokens_N):,} tokens")
    starts = np.flatnonzero(tokens_N == bos_id)
    for start, stop in zip(starts, [*starts[1:], len(tokens_N)], strict=True):
        yield tokens_N[start:stop], carried_N[start:stop]


def document_bytes(
    tokenizer: PortableTokenizer,
    split: str,
    name: str,
    ids_n: np.ndarray,
    carried_n: np.ndarray | None,
    text: str | None,
) -> DocumentBytes:
    """One document, its BOS first in ``ids_n`` and ``carried_n``."""
    decoded = tokenizer.decode(ids_n[1:])
    counted = int(tokenizer.byte_lengths(ids_n).sum(dtype=np.int64))
    sidecar = None if carried_n is None else int(carried_n.sum(dtype=np.int64))
    raw = None if text is None else len(text.encode())
    size = len(decoded.encode(errors="replace"))
    faults = list(_faults(tokenizer, ids_n, carried_n, counted, decoded, text))
    normalised = None
    if text is not None and decoded != text and tokenizer.metric == "table":
        normalised = f"the text has {raw:,} bytes, its normalised form {size:,}: {_first_difference(text, decoded)}"
    return DocumentBytes(split, name, len(ids_n) - 1, counted, sidecar, size, raw, tuple(faults), normalised)


def _faults(
    tokenizer: PortableTokenizer,
    ids_n: np.ndarray,
    carried_n: np.ndarray | None,
    counted: int,
    decoded: str,
    text: str | None,
) -> Iterator[str]:
    size = len(decoded.encode(errors="replace"))
    if counted != size:
        yield f"{counted:,} bytes are counted, its ids decode to {size:,} ({counted - size:+,})"
    if carried_n is not None and int(carried_n[0]):
        yield f"the sidecar gives its BOS {int(carried_n[0])} bytes"
    if text is None:
        return
    if tokenizer.metric == "raw" and decoded != text:
        yield f"its ids decode to another text: {_first_difference(text, decoded)}"
    again = tokenizer.encode(text)
    if not np.array_equal(again, ids_n[1:]):
        place = _first_place(again.tolist(), ids_n[1:].tolist())
        yield f"its text encodes to other ids, from token {place:,} on"
    if carried_n is not None:
        wanted = len(text.strip().encode()) if tokenizer.metric == "table" else len(text.encode())
        found = int(carried_n.sum(dtype=np.int64))
        if found != wanted:
            yield (
                f"the sidecar has {found:,} bytes, its text {wanted:,} without white space at the ends "
                f"({found - wanted:+,})"
            )


def _first_difference(wanted: str, found: str) -> str:
    place = _first_place(wanted, found)
    cut = slice(max(0, place - _SHOWN_CHARACTERS // 2), place + _SHOWN_CHARACTERS)
    return f"from character {place:,} on, {wanted[cut]!r} came back as {found[cut]!r}"


def _first_place(left: Any, right: Any) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
