"""The published FineWeb shards of the challenge, as they are, with their vocabularies.

All validation shards and the first ``train_shards`` training shards are fetched, or taken from the folder ``path``
(layout: ``pgolf.data.published``), and never rewritten. Dev is the tail of the last of these, from the first document
that starts within ``dev_tokens`` of its end; training ends there. The shards' size is the publisher's:
``size.shard_tokens`` does not apply.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from pgolf.core.command import home
from pgolf.core.errors import DataError, did_you_mean
from pgolf.core.protocols import Progress
from pgolf.core.ranges import Between
from pgolf.data.audit import audit_tokens
from pgolf.data.base import Source
from pgolf.data.dataset import SPLITS, Dataset, SplitFacts, building, is_made, load, write_manifest
from pgolf.data.hub import Hub
from pgolf.data.published import DATASET_PREFIX, PublishedFolder, model_beside, published_folder
from pgolf.data.shards import ShardSlice, documents_of, read_shard, shard_name, sidecar_name, whole
from pgolf.tokenizer.blob import identity
from pgolf.tokenizer.recipe import PortableTokenizer, Recipe

FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Files:
    """Local copies of one variant's files and its manifest entry."""

    entry: dict[str, Any]
    train: tuple[Path, ...]
    val: tuple[Path, ...]
    sidecars: tuple[Path, ...]
    model: Path | None


class FineWeb(Source):
    """Source of ``data=fineweb``. ``path``: a folder of shards that is at hand, null fetches them from ``repo_id``.

    ``sidecars``: the variant has per-token byte files for validation.
    """

    name = "fineweb"
    bundled: ClassVar[bool] = False

    def __init__(
        self,
        *,
        path: str | None,
        repo_id: str,
        revision: str,
        root: str,
        variant: str | None,
        train_shards: Annotated[int, Between(1)],
        dev_tokens: Annotated[int, Between(2)],
        overlap_tolerance: Annotated[float, Between(0, 1)],
        sidecars: bool,
    ) -> None:
        self.path = home(path) if path else None
        self.repo_id, self.revision, self.root = repo_id, revision, root
        self.variant, self.train_shards, self.dev_tokens = variant, train_shards, dev_tokens
        self.overlap_tolerance, self.sidecars = overlap_tolerance, sidecars

    def fetch(self, tokenizer_recipe: Recipe, cache_dir: Path, progress: Progress) -> tuple[Path, ...]:
        """Download what is missing. Raises DataError for an unknown variant or more shards than there are."""
        if self.path is not None:
            return ()
        files = self._fetched(self.variant or tokenizer_recipe.name, cache_dir, progress)
        return (*files.val, *files.train, *files.sidecars, *([files.model] if files.model else []))

    def _at_hand(self, folder: PublishedFolder, variant: str, recipe: Recipe) -> Files:
        """The shards in ``path``. Raises DataError where they are too few or of another variant."""
        theirs = folder.path.resolve().name
        if theirs.startswith(DATASET_PREFIX) and theirs != DATASET_PREFIX + variant:
            theirs = theirs.removeprefix(DATASET_PREFIX)
            raise DataError(
                f"data.path: {folder.path} holds {theirs} by its name, and tokenizer={recipe.name} is no {theirs}; "
                f"choose tokenizer={theirs}, or say data.variant={theirs} if it fits all the same"
            )
        for split, paths in (("train", folder.train), ("val", folder.val)):
            if not paths:
                raise DataError(f"data.path: {folder.path} has no {shard_name(split, 0)}")
        if self.sidecars and len(folder.sidecars) != len(folder.val):
            raise DataError(
                f"data.sidecars: {folder.path} has {len(folder.sidecars)} of them for {len(folder.val)} shards"
            )
        return Files(
            entry={"name": theirs},
            train=folder.train[: self._counted(len(folder.train), str(folder.path))],
            val=folder.val,
            sidecars=folder.sidecars if self.sidecars else (),
            model=model_beside(folder.path, recipe.vocab_size),
        )

    def _counted(self, there: int, where: str) -> int:
        """The number of training shards to take. Raises DataError for more than there are."""
        if self.train_shards > there:
            raise DataError(f"data.train_shards: {self.train_shards} asked for, {where} has {there}")
        return self.train_shards

    def _fetched(self, variant: str, cache_dir: Path, progress: Progress) -> Files:
        """Local copies. Raises DataError."""
        hub = Hub(self.repo_id, self.revision, self.root, cache_dir)
        manifest = hub.fetch_json("manifest.json")
        entry = self._entry(manifest, variant)
        stats = entry.get("stats") or {}
        try:
            files_train, files_val = int(stats["files_train"]), int(stats["files_val"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.repo_id}: the manifest does not say how many shards {variant} has") from error
        self._counted(files_train, f"{variant} of {self.repo_id}")
        if files_val < 1:
            raise DataError(f"{self.repo_id}: {variant} has no validation shards by its manifest")
        folder = f"datasets/{entry['name']}"
        wanted = [f"{folder}/{shard_name('val', index)}" for index in range(files_val)]
        wanted += [f"{folder}/{shard_name('train', index)}" for index in range(self.train_shards)]
        if self.sidecars:
            wanted += [f"{folder}/{sidecar_name('val', index)}" for index in range(files_val)]
        model = _model_path(manifest, entry)
        local = []
        for index, path in enumerate(wanted + ([model] if model else [])):
            progress(f"fetching {variant}", index, len(wanted))
            local.append(hub.fetch(path))
        end = files_val + self.train_shards
        return Files(
            entry=entry,
            val=tuple(local[:files_val]),
            train=tuple(local[files_val:end]),
            sidecars=tuple(local[end : len(wanted)]),
            model=local[-1] if model else None,
        )

    def _entry(self, manifest: dict[str, Any], variant: str) -> dict[str, Any]:
        entries = {str(entry.get("name")): entry for entry in _listed(manifest, "datasets")}
        name = DATASET_PREFIX + variant
        if name not in entries:
            variants = sorted(key.removeprefix(DATASET_PREFIX) for key in entries)
            raise DataError(
                f"data.variant: {self.repo_id} has no {variant!r}, only {', '.join(variants) or 'nothing'}."
                f"{did_you_mean(variant, variants)} For a tokenizer of ours prepare its text with data=fineweb_docs"
            )
        return entries[name]

    def prepare(self, tokenizer_recipe: Recipe, cache_dir: Path, shard_tokens: int, progress: Progress) -> Dataset:
        """Fetch, verify and audit once; later calls need no network."""
        variant, cache_dir = self.variant or tokenizer_recipe.name, Path(cache_dir)
        folder = None if self.path is None else published_folder(self.path)
        own = own_tokenizer(tokenizer_recipe, cache_dir)
        directory = self._directory(cache_dir, folder, variant, tokenizer_recipe.name, "")
        if own is not None and not _holds(directory, own):
            directory = self._directory(cache_dir, folder, variant, tokenizer_recipe.name, identity(own))
        if not is_made(directory):
            if folder is None:
                files = self._fetched(variant, cache_dir, progress)
            else:
                files = self._at_hand(folder, variant, tokenizer_recipe)
            tokenizer = own or tokenizer_recipe.build(lambda: iter(()), cache_dir, "", published_model=files.model)
            _require_same_vocabulary(tokenizer, files.entry)
            with building(directory) as temporary:
                self._describe(files, tokenizer, temporary, progress)
        dataset = load(directory)
        if tokenizer_recipe.vocab_size != dataset.tokenizer.vocab_size:
            raise DataError(
                f"tokenizer={tokenizer_recipe.name}: does not match the shards of {variant}, which have vocab_size "
                f"{dataset.tokenizer.vocab_size} where the tokenizer has {tokenizer_recipe.vocab_size}"
            )
        return dataset

    def _directory(
        self, cache_dir: Path, folder: PublishedFolder | None, variant: str, tokenizer: str, own: str
    ) -> Path:
        """Of the prepared data set; ``own`` is the identity of a model that did not come with the shards."""
        origin: tuple[Any, ...] = (self.repo_id, self.revision, self.root)
        if folder is not None:
            shards = (*folder.train, *folder.val, *folder.sidecars)
            origin = (str(folder.path.resolve()), [(path.name, path.stat().st_size) for path in shards])
        settings = (FORMAT_VERSION, *origin, variant, tokenizer, own)
        numbers = (self.train_shards, self.dev_tokens, self.overlap_tolerance, self.sidecars)
        key = hashlib.sha256(repr((settings, numbers)).encode()).hexdigest()[:16]
        return cache_dir / "datasets" / f"{self.name}-{variant}-{key}"

    def _describe(self, files: Files, tokenizer: PortableTokenizer, directory: Path, progress: Progress) -> None:
        """Check every shard and write the manifest of slices."""
        paths = (*files.val, *files.train)
        for index, path in enumerate(paths):
            read_shard(path, tokenizer.vocab_size)
            progress("checking ids", index + 1, len(paths))
        train, dev = split_tail(files.train, self.dev_tokens, tokenizer.bos_id)
        shards = {"train": train, "dev": dev, "val": whole(files.val)}
        sidecars = whole(files.sidecars)
        if sidecars and [len(piece) for piece in sidecars] != [len(piece) for piece in shards["val"]]:
            raise DataError(f"{files.sidecars[0].parent}: byte sidecars are not as long as their validation shards")
        if shards["val"][0].open()[:1].tolist() != [tokenizer.bos_id]:
            raise DataError(f"{files.val[0]}: does not begin with BOS (id {tokenizer.bos_id})")
        progress("overlap check", 0, None)
        documents = {split: documents_of(shards[split], tokenizer.bos_id) for split in SPLITS}
        repeated = audit_tokens(documents, f"data={self.name}", self.overlap_tolerance)
        facts = {
            split: SplitFacts(sum(map(len, pieces)), sum(_count(piece, tokenizer.bos_id) for piece in pieces), None)
            for split, pieces in shards.items()
        }
        origin = {"repo_id": self.repo_id} if self.path is None else {"folder": str(self.path)}
        notes = origin | {"variant": files.entry["name"], "overlapping_documents": repeated}
        write_manifest(
            directory,
            name=self.name,
            tokenizer=tokenizer,
            shards=shards,
            facts=facts,
            sidecars={"val": sidecars} if sidecars else {},
            notes=notes,
            progress=progress,
        )


def own_tokenizer(recipe: Recipe, cache_dir: Path) -> PortableTokenizer | None:
    """The tokenizer of a recipe that brings its model along; None for one that takes the published model.

    Raises DataError.
    """
    return recipe.build(lambda: iter(()), cache_dir, "") if recipe.brings_model else None


def _holds(directory: Path, tokenizer: PortableTokenizer) -> bool:
    """Whether the data set there, if any, was made with just this tokenizer."""
    return is_made(directory) and identity(load(directory).tokenizer) == identity(tokenizer)


def split_tail(
    paths: tuple[Path, ...], dev_tokens: int, bos_id: int
) -> tuple[tuple[ShardSlice, ...], tuple[ShardSlice, ...]]:
    """(training, dev): dev runs from the first BOS within ``dev_tokens`` of the last shard's end.

    Raises DataError if no document starts there, or nothing would be left for training.
    """
    *before, last = whole(paths)
    tokens_N = last.open()
    first = max(0, len(tokens_N) - dev_tokens)
    starts = np.flatnonzero(tokens_N[first:] == bos_id)
    if not len(starts) or (first + int(starts[0]) == 0 and not before):
        raise DataError(
            f"data.dev_tokens: the last {dev_tokens:,} of the {len(tokens_N):,} tokens of {last.path.name} "
            + ("leave nothing for training" if len(starts) else "hold no document's start; ask for more")
        )
    cut = first + int(starts[0])
    head = (ShardSlice(last.path, 0, cut),) if cut else ()
    return (*before, *head), (ShardSlice(last.path, cut, last.stop),)


def _count(piece: ShardSlice, bos_id: int) -> int:
    return int(np.count_nonzero(piece.open() == bos_id))


def _listed(manifest: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries under ``key``; what is no entry is no reason to fail."""
    entries = manifest.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _model_path(manifest: dict[str, Any], entry: dict[str, Any]) -> str | None:
    """Of the sentencepiece model in the manifest's tokenizer entry; byte vocabularies have none."""
    name = entry.get("tokenizer_name")
    for tokenizer in _listed(manifest, "tokenizers"):
        path = tokenizer.get("model_path") or tokenizer.get("path") or ""
        if tokenizer.get("name") == name and str(path).endswith(".model"):
            return str(path)
    return None


def _require_same_vocabulary(tokenizer: PortableTokenizer, entry: dict[str, Any]) -> None:
    """Raise DataError if the shards were made with another vocabulary than ``tokenizer``'s."""
    for what, ours in (("vocab_size", tokenizer.vocab_size), ("bos_id", tokenizer.bos_id)):
        theirs = entry.get(what)
        if theirs is not None and str(theirs) != str(ours):
            raise DataError(
                f"tokenizer={tokenizer.name}: does not match the shards of {entry['name']}, "
                f"which have {what} {theirs} where the tokenizer has {ours}"
            )
