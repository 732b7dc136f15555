"""Your own text: any globs of .txt, .txt.gz, .txt.xz or .jsonl with a ``text`` field.

Documents in file-name order (lines of a .jsonl are documents) are dealt by index mod 10: 9 validates, 4 is
dev, the rest train. A .txt file larger than ``document_bytes`` is cut at blank lines into several documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pgolf.core.errors import DataError
from pgolf.core.ranges import Between
from pgolf.data.base import Source
from pgolf.data.dataset import Dataset
from pgolf.data.documents import match_files, read_documents, split_of
from pgolf.data.prepare import prepare_documents
from pgolf.tokenizer.recipe import Progress, Recipe


class Text(Source):
    """Source of ``data=text``. ``paths`` are globs, relative to where the command runs."""

    name = "text"

    def __init__(self, *, paths: Sequence[str], document_bytes: Annotated[int, Between(1)]) -> None:
        if isinstance(paths, str):
            raise DataError(
                f"data.paths: a list of globs is wanted, not {paths!r}; write data.paths=[{paths}]"
            )
        self.paths, self.document_bytes = tuple(paths), document_bytes

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(name, text) of the documents of a split. Raises DataError for empty, unreadable or non-UTF-8 text."""
        for index, pair in enumerate(read_documents(match_files(self.paths), self.document_bytes)):
            if split_of(index) == split:
                yield pair

    def prepare(
        self, tokenizer_recipe: Recipe, cache_dir: Path, shard_tokens: int, progress: Progress
    ) -> Dataset:
        return prepare_documents(
            self,
            name=self.name,
            recipe=tokenizer_recipe,
            cache_dir=cache_dir,
            shard_tokens=shard_tokens,
            progress=progress,
        )
