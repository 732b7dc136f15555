"""One process per run folder: a lock file that names its holder and vanishes with it.

Ours, because the package filelock does neither: it leaves its file in the folder, and where the kernel locks, it
knows no holder. Naming one beside it would take a second file, as long as this and never quite in step.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

from pgolf.core.errors import RunError

LOCK_NAME = ".lock"
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


class FolderLock:
    """An exclusive lock on ``folder/.lock``, held until ``release`` or the end of the process.

    The kernel drops the lock when its holder dies, so a file left behind by a killed process is stale by
    itself and is simply taken over. The file names process and host for the message others get.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises RunError when another process holds it; OSError when it cannot be written."""
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "unknown"
                os.close(handle)
                if error.errno in _TAKEN:
                    raise RunError(
                        f"{self.path.parent}: in use by another run ({holder}); wait for it, or take another seed"
                    ) from None
                raise
            if self._still_there(handle):
                break
            os.close(handle)  # its holder removed the file between our open and our lock: try the new one
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._handle = handle

    def _still_there(self, handle: int) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(handle))

    def release(self) -> None:
        """Remove the file and drop the lock; a second call does nothing."""
        if self._handle is None:
            return
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        os.close(self._handle)
        self._handle = None
