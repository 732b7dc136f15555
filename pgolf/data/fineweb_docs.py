"""FineWeb's text, for vocabularies of our own: ``docs_selected.jsonl``, one ``{"text": ...}`` a line.

The frozen order is kept: the first ``validation_documents`` validate (50,000 as published; a smaller number
puts published validation documents into training), the last ``dev_documents`` are dev, all others train.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pgolf.core.command import home
from pgolf.core.errors import DataError
from pgolf.core.protocols import Progress
from pgolf.core.ranges import Between
from pgolf.data.base import TextSource
from pgolf.data.documents import jsonl_lines, read_jsonl
from pgolf.data.hub import Hub
from pgolf.tokenizer.recipe import Recipe

DOCS_FILE = "docs_selected.jsonl"


class FineWebDocs(TextSource):
    """Source of ``data=fineweb_docs``. ``path`` null fetches the file from ``repo_id``."""

    name = "fineweb_docs"
    bundled: ClassVar[bool] = False

    def __init__(
        self,
        *,
        path: str | None,
        repo_id: str,
        revision: str,
        root: str,
        validation_documents: Annotated[int, Between(1)],
        dev_documents: Annotated[int, Between(1)],
    ) -> None:
        self.path = home(path) if path else None
        self.repo_id, self.revision, self.root = repo_id, revision, root
        self.validation_documents, self.dev_documents = validation_documents, dev_documents
        self._count: int | None = None

    def fetch(self, tokenizer_recipe: Recipe, cache_dir: Path, progress: Progress) -> tuple[Path, ...]:
        """The local file, downloaded if no path was given. Raises DataError."""
        if self.path is None:
            progress(f"fetching {DOCS_FILE}", 0, None)
            self.path = self._hub(cache_dir).fetch(DOCS_FILE)
        return (self.path,)

    def find(self, cache_dir: Path) -> None:
        """Take the local file as an earlier ``fetch`` left it. Raises DataError where there was none."""
        self.path = self.path or self._hub(cache_dir).cached(DOCS_FILE)
        if self.path is None:
            raise DataError(f"data.path: {DOCS_FILE} of {self.repo_id} has not been fetched into {cache_dir}")

    def _hub(self, cache_dir: Path) -> Hub:
        return Hub(self.repo_id, self.revision, self.root, Path(cache_dir))

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(place, text) of the documents of a split. Raises DataError for a damaged line."""
        if self.path is None:
            raise DataError(f"data.path: {DOCS_FILE} has not been fetched")
        if self._count is None:
            self._count = sum(1 for _ in jsonl_lines(self.path))
        dev_from = self._count - self.dev_documents
        if dev_from <= self.validation_documents:
            raise DataError(
                f"{self.path}: {self._count:,} documents are too few for {self.validation_documents:,} of validation "
                f"and {self.dev_documents:,} of dev with something left to train on"
            )
        for index, pair in enumerate(read_jsonl(self.path)):
            place = "val" if index < self.validation_documents else "dev" if index >= dev_from else "train"
            if place == split:
                yield pair
