"""Published shards as they lie in a folder, without a manifest: names, headers and sizes say all but the vocabulary.

Layout: ``datasets/fineweb10B_<variant>/fineweb_train_000000.bin`` and so on, ``fineweb_val_000000.bin`` and so on,
per-token bytes in ``fineweb_val_bytes_000000.bin``; the model in ``tokenizers/fineweb_<V>_bpe.model`` beside
``datasets``. Source: the export of openai/parameter-golf.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pgolf.core.errors import DataError
from pgolf.data.dataset import MANIFEST, sha256_of
from pgolf.data.shards import find_shards, find_sidecars, read_shard, shard_name, sidecar_name

DATASET_PREFIX = "fineweb10B_"
_NAMED = 5


@dataclass(frozen=True, slots=True)
class PublishedFolder:
    """Paths in order. Either of ``train`` and ``val`` may be empty, not both."""

    path: Path
    train: tuple[Path, ...]
    val: tuple[Path, ...]
    sidecars: tuple[Path, ...]


def published_folder(path: Path) -> PublishedFolder:
    """The shards in ``path``. Raises DataError for a place without any, and for a split that lacks one."""
    if not os.path.isdir(path):  # Path.is_dir would raise for a name that is too long
        found = "is a file, not a folder" if os.path.isfile(path) else "no such folder"
        raise DataError(f"{path}: {found}; give the folder that holds the shards")
    train, val, sidecars = find_shards(path, "train"), find_shards(path, "val"), find_sidecars(path, "val")
    if not train and not val:
        raise DataError(f"{path}: {_nothing_of_ours(path)}")
    _require_all(train, [shard_name("train", index) for index in range(len(train))])
    _require_all(val, [shard_name("val", index) for index in range(len(val))])
    _require_all(sidecars, [sidecar_name("val", index) for index in range(len(sidecars))])
    return PublishedFolder(path, tuple(train), tuple(val), tuple(sidecars))


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What one shard says without its vocabulary: ``documents`` begin with ``bos_id``."""

    path: Path
    tokens: int
    documents: int
    largest_id: int
    sha256: str


def bos_of(folder: PublishedFolder) -> int:
    """The id that begins the first shard of validation (of training where there is none). Raises DataError."""
    first = (folder.val or folder.train)[0]
    tokens_N = read_shard(first)
    if not len(tokens_N):
        raise DataError(f"{first}: no tokens in it")
    return int(tokens_N[0])


def facts_of(path: Path, bos_id: int) -> ShardFacts:
    """Reads the whole shard. Raises DataError for a damaged header or size."""
    tokens_N = read_shard(path)
    documents = int(np.count_nonzero(tokens_N == bos_id))
    largest_id = int(tokens_N.max()) if len(tokens_N) else 0
    return ShardFacts(path, len(tokens_N), documents, largest_id, sha256_of(path))


def model_beside(folder: Path, vocab_size: int) -> Path | None:
    """The sentencepiece model where the published layout has it, or the only one in the folder itself."""
    published = folder.resolve().parent.parent / "tokenizers" / f"fineweb_{vocab_size}_bpe.model"
    if published.is_file():
        return published
    models = sorted(folder.glob("*.model"))
    return models[0] if len(models) == 1 else None


def _require_all(paths: Sequence[Path], names: Sequence[str]) -> None:
    for path, name in zip(paths, names, strict=True):
        if path.name != name:
            raise DataError(f"{path.parent}: {name} is missing, the next one is {path.name}")


def _nothing_of_ours(path: Path) -> str:
    """What is there instead of shards, and what to do about it."""
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    names = [entry.name + ("/" if os.path.isdir(entry) else "") for entry in entries]
    if not names:
        return "an empty folder; neither a prepared data set nor published shards"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    text = (
        f"no prepared data set ({MANIFEST}) and no published shards (fineweb_train_*.bin, fineweb_val_*.bin) here, "
        f"only {', '.join(names[:_NAMED])}{more}"
    )
    inside = [entry.name for entry in entries if os.path.isfile(entry / MANIFEST)]
    return text + (f". Did you mean {path / inside[0]}?" if inside else "")
