"""What every option of the group ``data`` is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from pgolf.data.dataset import Dataset
from pgolf.tokenizer.recipe import Progress, Recipe


class Source(Protocol):
    """A corpus that can be made into shards. ``name`` is the option's name.

    One that has text at hand also has ``documents(split)``, and where its text is fetched, ``find(cache_dir)``.
    ``bundled``: a counted script carries it and prepares its text; unless a source says otherwise, it does. Without,
    the script reads shards that were prepared beforehand (``--data DIR``).
    """

    name: str
    bundled: ClassVar[bool] = True

    def prepare(
        self, tokenizer_recipe: Recipe, cache_dir: Path, shard_tokens: int, progress: Progress
    ) -> Dataset:
        """Fetch, check, tokenize and cache. ``progress(label, done, total)`` is called often; raises DataError."""
        ...


def raw_documents(source: Any, cache_dir: Path | str, split: str) -> list[str] | None:
    """The texts of a split, in the frozen order, of a source that has been prepared (by any object) before.

    None where the source has no text: published shards come without. Raises DataError where it is gone.
    """
    if not hasattr(source, "documents"):
        return None
    if hasattr(source, "find"):
        source.find(Path(cache_dir))
    return [text for _, text in source.documents(split)]
