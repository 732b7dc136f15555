"""Write a file whole or not at all: temporary file beside it, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from pgolf.core.errors import RunError


def write_bytes_atomic(path: Path | str, *pieces: bytes | memoryview) -> None:
    """Replace ``path`` by the ``pieces``; whoever reads it sees the old bytes or the new ones, never a mixture.

    The directory must exist. Raises RunError when the file cannot be written (full disk, no permission,
    no such directory); what stood at ``path`` before is then untouched and nothing is left beside it.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        kept = "; the file that was there before is untouched" if path.exists() else ""
        size = sum(map(len, pieces))
        raise RunError(f"cannot write {path} ({size:,} bytes): {error.strerror or error}{kept}") from error
    except BaseException:
        _remove(temporary)
        raise
    _sync_directory(path.parent)


def write_text_atomic(path: Path | str, text: str) -> None:
    """``write_bytes_atomic`` of ``text`` in UTF-8, with line ends as they are.

    File names that are not UTF-8 come out as the bytes they are.
    """
    write_bytes_atomic(path, text.encode("utf-8", "surrogateescape"))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable, where the system lets a directory be opened and synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
