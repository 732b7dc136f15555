"""What every option of the group ``data`` is: a source of shards, and of text where it has text at hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pgolf.core.protocols import Progress
from pgolf.data.dataset import Dataset
from pgolf.data.prepare import Encode, encode_each, prepare_documents
from pgolf.tokenizer.recipe import Recipe


class Source(ABC):
    """A corpus that can be made into shards. ``name`` is the option's name.

    ``has_text``: its text is at hand, so that ``documents`` gives it; published shards come without. ``bundled``: a
    counted script carries it and prepares its text; without, the script reads shards prepared beforehand
    (``--data DIR``).
    """

    name: str
    has_text: ClassVar[bool] = False
    bundled: ClassVar[bool] = True

    @abstractmethod
    def prepare(self, tokenizer_recipe: Recipe, cache_dir: Path, shard_tokens: int, progress: Progress) -> Dataset:
        """Fetch, check, tokenize and cache. Raises DataError."""

    def fetch(self, tokenizer_recipe: Recipe, cache_dir: Path, progress: Progress) -> tuple[Path, ...]:
        """The local copies of what is published, downloaded where need be. Default: nothing is to be fetched."""
        return ()

    def find(self, cache_dir: Path) -> None:  # noqa: B027 - most sources have nothing to look up
        """Look up what an earlier ``fetch`` of any object left; asks nobody. Default: nothing is to be found.

        Raises DataError where it is gone.
        """

    def raw_places(self) -> tuple[Path, ...]:
        """Files and folders with the text that shards are made of: closed while a run trains. Default: none."""
        return ()

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(name, text) of each document of ``train``, ``dev`` or ``val``, in the frozen order. Default: none.

        Raises DataError for text that cannot be read.
        """
        return iter(())


class TextSource(Source):
    """A corpus of documents; a child has ``name`` and ``documents``. ``encode``: how they become ids, whose order and
    values it may not change."""

    has_text: ClassVar[bool] = True
    encode: Encode = staticmethod(encode_each)

    def prepare(self, tokenizer_recipe: Recipe, cache_dir: Path, shard_tokens: int, progress: Progress) -> Dataset:
        """Fetch, check, tokenize and cache by content. Raises DataError."""
        self.fetch(tokenizer_recipe, cache_dir, progress)
        return prepare_documents(
            self,
            name=self.name,
            recipe=tokenizer_recipe,
            cache_dir=cache_dir,
            shard_tokens=shard_tokens,
            progress=progress,
            encode=self.encode,
        )


def raw_documents(source: Source, cache_dir: Path | str, split: str) -> list[str] | None:
    """The texts of a split, in the frozen order, of a source that has been prepared (by any object) before.

    None where the source has no text: published shards come without. Raises DataError where it is gone.
    """
    if not source.has_text:
        return None
    source.find(Path(cache_dir))
    return [text for _, text in source.documents(split)]
