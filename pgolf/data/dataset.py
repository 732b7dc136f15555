"""A prepared corpus on disk: shards, the tokenizer that made them, and a manifest that says so.

Layout of the directory: ``manifest.json``, ``tokenizer.blob`` and the shards, or references to shards that
lie elsewhere (published files are never rewritten). The manifest is written last and the directory is
renamed into place, so a directory that has its name is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.core.errors import DataError
from pgolf.core.json_text import read_json
from pgolf.core.protocols import Progress
from pgolf.data.shards import ShardSlice, read_stream, require_vocabulary, shard_tokens
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.recipe import PortableTokenizer
from pgolf.tokenizer.tables import sidecar_bytes

SPLITS = ("train", "dev", "val")
MANIFEST, BLOB = "manifest.json", "tokenizer.blob"
MANIFEST_VERSION = 1
VERIFIED_BYTES = 1 << 28  # read and hashed in a second or less


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """``raw_bytes`` is the UTF-8 length of the documents, where the text was at hand."""

    tokens: int
    documents: int
    raw_bytes: int | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """What ``Source.prepare`` returns. ``fingerprint`` (hex) changes whenever a token does."""

    name: str
    directory: Path
    shards: Mapping[str, tuple[ShardSlice, ...]]
    tokenizer: PortableTokenizer
    fingerprint: str
    facts: Mapping[str, SplitFacts]
    sidecars: Mapping[str, tuple[ShardSlice, ...]] = field(default_factory=dict)

    def stream(self, split: str, limit: int | None = None) -> np.ndarray:
        """Tokens of a split (uint16 [N], ``tokens_N[0]`` is BOS except in a training split cut from a stream).

        Raises DataError for ids outside the vocabulary, which a damaged shard can hold.
        """
        tokens_N = read_stream(self.shards[split], limit)
        require_vocabulary(tokens_N, self.tokenizer.vocab_size, f"{split} of {self.directory}")
        return tokens_N

    def sidecar_target_bytes(self, split: str, limit: int | None = None) -> np.ndarray | None:
        """Bytes of each target of ``stream(split, limit)`` from sidecars, int64 [N-1]; None where there are none."""
        if not self.sidecars.get(split):
            return None
        return sidecar_bytes(self.stream(split, limit), read_stream(self.sidecars[split], limit))

    def target_bytes(self, split: str, limit: int | None = None) -> np.ndarray:
        """The same by the tokenizer's metric where there are no sidecars: int64 [N-1]."""
        carried_N = self.sidecar_target_bytes(split, limit)
        return self.tokenizer.byte_lengths(self.stream(split, limit)) if carried_N is None else carried_N


def check_long_enough(dataset: Dataset, window: int) -> None:
    """Raise DataError for a split that cannot fill one window of ``window`` inputs and their targets."""
    for split in SPLITS:
        tokens = dataset.facts[split].tokens
        if tokens < window + 1:
            raise DataError(
                f"data={dataset.name}: {split} has {tokens:,} tokens, fewer than the {window + 1:,} that a window "
                f"of {window:,} needs; take more text or a smaller window"
            )


def sha256_of(path: Path) -> str:
    """Hexadecimal. Raises DataError for a file that cannot be read to its end."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return digest.hexdigest()


@contextmanager
def building(directory: Path) -> Iterator[Path]:
    """A temporary neighbour that becomes ``directory`` on success and disappears on failure.

    If another process was faster, its equal result is kept. Raises DataError where nothing can be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    except OSError as error:
        raise DataError(f"{directory}: cannot be written ({error})") from error
    try:
        try:
            yield temporary
        except OSError as error:
            raise DataError(f"{directory}: cannot be written ({error})") from error
        try:
            os.rename(temporary, directory)
        except OSError as error:
            if not (directory / MANIFEST).is_file():
                raise DataError(f"{directory}: cannot be put in place ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(
    directory: Path,
    *,
    name: str,
    tokenizer: PortableTokenizer,
    shards: Mapping[str, Sequence[ShardSlice]],
    facts: Mapping[str, SplitFacts],
    sidecars: Mapping[str, Sequence[ShardSlice]],
    notes: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Write ``tokenizer.blob`` and ``manifest.json``; the fingerprint covers every shard's checksum."""
    blob = tokenizer.to_blob()
    (directory / BLOB).write_bytes(blob)
    checksums: dict[Path, str] = {}
    paths = [piece.path for group in (shards, sidecars) for pieces in group.values() for piece in pieces]
    for index, path in enumerate(dict.fromkeys(paths)):
        checksums[path] = sha256_of(path)
        progress("checksums", index + 1, len(dict.fromkeys(paths)))

    def entry(piece: ShardSlice) -> dict[str, Any]:
        path = os.path.relpath(piece.path.absolute(), directory.absolute())
        digest, size = checksums[piece.path], piece.path.stat().st_size
        return {"path": path, "start": piece.start, "stop": piece.stop, "file_bytes": size, "sha256": digest}

    def listed(group: Mapping[str, Sequence[ShardSlice]]) -> dict[str, Any]:
        return {split: [entry(piece) for piece in pieces] for split, pieces in group.items()}

    content: dict[str, Any] = {
        "version": MANIFEST_VERSION,
        "name": name,
        "tokenizer": {
            "name": tokenizer.name,
            "vocab_size": tokenizer.vocab_size,
            "bos_id": tokenizer.bos_id,
            "metric": tokenizer.metric,
            "sha256": hashlib.sha256(blob).hexdigest(),
        },
        "splits": {split: asdict(facts[split]) for split in SPLITS},
        "shards": listed(shards),
        "sidecars": listed(sidecars),
        "notes": dict(notes),
    }
    tokens = [
        [piece["sha256"], piece["start"], piece["stop"]] for split in SPLITS for piece in content["shards"][split]
    ]
    content["fingerprint"] = hashlib.sha256(json.dumps([content["tokenizer"], tokens]).encode()).hexdigest()
    (directory / MANIFEST).write_text(json.dumps(content, indent=1) + "\n")


def is_made(directory: Path) -> bool:
    """Whether the cache holds a data set of this name. Raises DataError for what is left of one."""
    if not directory.exists():
        return False
    missing = [name for name in (MANIFEST, BLOB) if not (directory / name).is_file()]
    if missing:
        raise DataError(f"{directory}: a prepared data set without its {missing[0]}; {_anew(directory)}")
    return True


def read_manifest(directory: Path) -> dict[str, Any]:
    """Raises DataError for a directory that is no prepared data set, or of another version."""
    path = Path(directory) / MANIFEST
    if not path.exists():
        raise DataError(f"{directory}: no prepared data set here (no {MANIFEST})")
    content = read_json(path, DataError)
    if not isinstance(content, dict) or content.get("version") != MANIFEST_VERSION:
        raise DataError(f"{path}: not a manifest of version {MANIFEST_VERSION}")
    return content


def load(directory: Path, full: bool = False) -> Dataset:
    """Open a prepared data set. Sizes are always checked, checksums and ids where all shards together have at most
    ``VERIFIED_BYTES``, or with ``full``.

    Raises DataError naming what is missing, damaged or does not belong to the tokenizer, and what to delete.
    """
    directory = Path(directory)
    if not (directory / BLOB).is_file():  # perhaps nothing of ours: then nothing may be deleted either
        return _loaded(directory, read_manifest(directory), full)
    try:
        return _loaded(directory, read_manifest(directory), full)
    except _Outside as error:
        raise DataError(f"{error}; {_mend_outside(directory, error.path)}") from error
    except DataError as error:
        raise DataError(f"{error}; {_anew(directory)}") from error


class _Outside(DataError):
    """Something is wrong with a shard that the data set refers to and has not made: ``path``."""

    def __init__(self, path: Path, error: DataError) -> None:
        self.path = path
        super().__init__(str(error))


def _anew(directory: Path) -> str:
    return f"to have it made anew: rm -r {shlex.quote(str(directory))}"


def _mend_outside(directory: Path, path: Path) -> str:
    """A fetched file is fetched again once it is gone, links and all; somebody's own is not ours to delete."""
    resolved, cache = path.resolve(), directory.resolve().parent.parent
    if resolved.is_relative_to(cache):
        links = dict.fromkeys(map(str, (directory, resolved)))
        return f"to have it fetched anew: rm -r {shlex.join(links)}"
    return f"put the file back as it was, or, to prepare it as it is now: rm -r {shlex.quote(str(directory))}"


def _loaded(directory: Path, manifest: dict[str, Any], full: bool) -> Dataset:
    try:
        return _described(directory, manifest, full)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{directory / MANIFEST}: damaged ({error!r})") from error


def _described(directory: Path, manifest: dict[str, Any], full: bool) -> Dataset:
    try:
        blob = (directory / BLOB).read_bytes()
    except OSError as error:
        raise DataError(f"{directory}: the tokenizer cannot be read ({error})") from error
    if hashlib.sha256(blob).hexdigest() != manifest["tokenizer"]["sha256"]:
        raise DataError(f"{directory}: {BLOB} is not the tokenizer these shards were made with")
    tokenizer = from_blob(blob)
    entries = [*manifest["shards"].values(), *manifest["sidecars"].values()]
    total = sum(_whole(entry["file_bytes"]) for listed in entries for entry in listed)
    full = full or total <= VERIFIED_BYTES
    shards = {split: _slices(directory, manifest["shards"][split], full, tokenizer) for split in SPLITS}
    facts = {split: _facts(manifest["splits"][split]) for split in SPLITS}
    for split in SPLITS:
        held = sum(len(piece) for piece in shards[split])
        if held != facts[split].tokens:
            raise DataError(f"{directory}: {split} has {held:,} tokens, the manifest says {facts[split].tokens:,}")
    return Dataset(
        name=str(manifest["name"]),
        directory=directory,
        shards=shards,
        tokenizer=tokenizer,
        fingerprint=str(manifest["fingerprint"]),
        facts=facts,
        sidecars={split: _slices(directory, found, full, None) for split, found in manifest["sidecars"].items()},
    )


def _facts(entry: Mapping[str, Any]) -> SplitFacts:
    raw_bytes = entry["raw_bytes"]
    return SplitFacts(
        tokens=_whole(entry["tokens"]),
        documents=_whole(entry["documents"]),
        raw_bytes=None if raw_bytes is None else _whole(raw_bytes),
    )


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} where a count is wanted")
    return value


def _slices(
    directory: Path, entries: list[dict[str, Any]], full: bool, tokenizer: PortableTokenizer | None
) -> tuple[ShardSlice, ...]:
    slices = []
    for entry in entries:
        path = directory / entry["path"]
        try:
            slices.append(_checked(path, entry, full, tokenizer))
        except DataError as error:
            if path.resolve().is_relative_to(directory.resolve()):
                raise
            raise _Outside(path, error) from error
    return tuple(slices)


def _checked(path: Path, entry: Mapping[str, Any], full: bool, tokenizer: PortableTokenizer | None) -> ShardSlice:
    shard_tokens(path)
    size = path.stat().st_size
    if size != entry["file_bytes"]:
        raise DataError(f"{path}: {size:,} bytes, the manifest says {entry['file_bytes']:,}")
    if full and sha256_of(path) != entry["sha256"]:
        raise DataError(f"{path}: checksum differs from the manifest; the file has changed")
    piece = ShardSlice(path, _whole(entry["start"]), _whole(entry["stop"]))
    tokens_N = piece.open()
    if full and tokenizer is not None:
        require_vocabulary(tokens_N, tokenizer.vocab_size, str(path))
    return piece
