"""The seal: a Python audit hook that refuses, and writes down, what a decoder would not have.

After ``seal`` the process may read the counted files, the modules and libraries within its reach, and the system files
of ``pgolf.eval.library``; it may write in temporary folders of its own; it may open no socket, start no process and
load no foreign library. Every refusal is recorded before it is raised, so catching the exception hides nothing.

It is the second layer. What it cannot see, the kernel refuses where it can (``pgolf.eval.isolation``): files opened by
compiled code without Python's knowledge, libc reached through ctypes' own handles, code that sets out to tamper with
the hook itself. What it can see, it names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pgolf.eval.library import REFUSED_PACKAGES, SYSTEM_FILES

LIBRARY_SUFFIXES = (".py", ".pyc", ".so", ".dylib", ".dll", ".pyd")
METADATA_NAMES = ("METADATA", "RECORD", "entry_points.txt", "top_level.txt", "direct_url.json")
# Each with the places of the paths among its arguments: refused outside the temporary folders.
CHANGING_EVENTS = {
    "os.chmod": 1,
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rename": 2,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.utime": 1,
    "shutil.rmtree": 1,
    "tempfile.mkdtemp": 1,
    "tempfile.mkstemp": 1,
}
REFUSED_EVENTS = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.startfile",
    "pty.spawn",
    "os.kill",
    "os.chown",
    "os.link",
    "os.symlink",
    "shutil.",
    "sqlite3.connect",
    "urllib.",
    "http.client.",
    "ftplib.",
    "smtplib.",
    "telnetlib.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class SealBroken(PermissionError):
    """The sealed process asked for something outside the artifact."""


@dataclass
class Seal:
    """What may be read, links followed: ``files``, and modules below ``roots``; the folders ``writable`` may be written
    too.

    ``violations`` are (event, what) pairs in order.
    """

    files: tuple[str, ...]
    roots: tuple[str, ...]
    writable: tuple[str, ...]
    violations: list[tuple[str, str]] = field(default_factory=list)

    def permits(self, path: str, writing: bool, listing: bool = False) -> bool:
        """Whether the absolute path ``path`` may be opened; links are followed first."""
        real = os.path.realpath(path)
        if real == os.devnull or any(_inside(real, folder) for folder in self.writable):
            return True
        if writing:
            return False
        own_process = real.replace(f"/proc/{os.getpid()}/", "/proc/self/")
        if real in self.files or any(_inside(own_process, file) for file in SYSTEM_FILES):
            return True
        roots = [root for root in self.roots if _inside(real, root)]
        below = {part for root in roots for part in os.path.relpath(real, root).split(os.sep)}
        if not roots or not below.isdisjoint(REFUSED_PACKAGES):
            return False
        return listing or real.endswith(LIBRARY_SUFFIXES) or os.path.basename(real) in METADATA_NAMES

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook. Raises SealBroken after recording what was asked for."""
        if event == "open":
            self._file(event, args[0], _writes(args[1], args[2]))
        elif event in ("os.listdir", "os.scandir"):
            self._file(event, "." if args[0] is None else args[0], writing=False, listing=True)
        elif event == "ctypes.dlopen":
            if args[0] is None or not self.permits(os.path.abspath(os.fsdecode(args[0])), writing=False):
                self.refuse(event, str(args[0]))
        elif event == "import" and str(args[0]).partition(".")[0] in REFUSED_PACKAGES:
            self.refuse(event, str(args[0]))
        elif event in CHANGING_EVENTS:
            for path in args[: CHANGING_EVENTS[event]]:
                self._file(event, path, writing=True)
        elif event.startswith(REFUSED_EVENTS):
            self.refuse(event, ", ".join(repr(arg)[:80] for arg in args))

    def refuse(self, event: str, what: str) -> None:
        self.violations.append((event, what))
        raise SealBroken(f"{event} of {what} refused: the sealed process has only its artifact and the stream")

    def _file(self, event: str, path: Any, writing: bool, listing: bool = False) -> None:
        if isinstance(path, int):  # a descriptor that is open already: the pipes
            return
        name = os.fsdecode(path)
        if not self.permits(os.path.abspath(name), writing, listing):
            self.refuse(f"{event} for writing" if writing and event == "open" else event, name)


def seal(seal: Seal) -> None:
    """Install the hook for the rest of this process's life; an audit hook cannot be taken out again."""
    hook: Callable[[str, tuple[Any, ...]], None] = seal.hook
    sys.addaudithook(hook)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(int(flags or 0) & _WRITING)
