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
from pgolf.data.base import TextSource
from pgolf.data.documents import match_files, read_documents, split_of


class Text(TextSource):
    """Source of ``data=text``. ``paths`` are globs, relative to where the command runs."""

    name = "text"

    def __init__(self, *, paths: Sequence[str], document_bytes: Annotated[int, Between(1)]) -> None:
        if isinstance(paths, str):
            raise DataError(f"data.paths: a list of globs is wanted, not {paths!r}; write data.paths=[{paths}]")
        self.paths, self.document_bytes = tuple(paths), document_bytes

    def raw_places(self) -> tuple[Path, ...]:
        return tuple(match_files(self.paths))

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(name, text) of the documents of a split. Raises DataError for empty, unreadable or non-UTF-8 text."""
        for index, pair in enumerate(read_documents(match_files(self.paths), self.document_bytes)):
            if split_of(index) == split:
                yield pair
