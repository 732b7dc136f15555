"""What every option of the group ``data`` is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pgolf.data.dataset import Dataset
from pgolf.tokenizer.recipe import Progress, Recipe


class Source(Protocol):
    """A corpus that can be made into shards. ``name`` is the option's name."""

    name: str

    def prepare(
        self, tokenizer_recipe: Recipe, cache_dir: Path, shard_tokens: int, progress: Progress
    ) -> Dataset:
        """Fetch, check, tokenize and cache. ``progress(label, done, total)`` is called often; raises DataError."""
        ...
