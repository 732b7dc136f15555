"""What a sealed process runs: the counted script, or, for those who prove the certificate, this package."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

# What a certificate calls the code that made its scores.
SCRIPT = "counted script"
REBUILT = "script: rebuilt"
REBUILT_OTHERWISE = "script: rebuilt, not the artifact's own settings"
PACKAGE = "package"
# The names are given: what was ordered, and the two pipes.
SERVE = "from pgolf.eval.serve import serve; facts = serve(order, questions, answers)"


class ScriptSource:
    """A ``train_gpt.py``, which brings its own modules and its own ``pgolf.eval.serve``; no other file of this package
    is within reach. ``label`` says so where it is not the one whose bytes were counted.
    """

    program = SERVE

    def __init__(self, script: bytes, label: str = SCRIPT) -> None:
        self.script, self.label = script, label

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.script).hexdigest()

    @property
    def path(self) -> Path:
        """Where the script lies for all processes that run it: numba knows what it compiled by that."""
        return self._folder.path / "train_gpt.py"

    @property
    def kernels(self) -> Path:
        """A folder for what those processes compile; see ``pgolf.eval.home``."""
        return self._folder.path / "kernels"

    @cached_property
    def _folder(self) -> _Folder:
        folder = _Folder("pgolf-script-")
        (folder.path / "kernels").mkdir()
        (folder.path / "train_gpt.py").write_bytes(self.script)
        return folder


@dataclass(frozen=True, slots=True)
class PackageSource:
    """This package as it is installed, whose bytes nobody counted. ``program`` is Python that runs in the sealed
    process; ``folders`` are further ones that it may import from.
    """

    program: str = SERVE
    folders: tuple[str, ...] = ()

    label = PACKAGE

    @property
    def kernels(self) -> Path:
        """As of a script; one folder for all, since they run the same modules."""
        return _package_kernels().path


class _Folder:
    """A temporary one, gone with this object or this process."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(os.path.realpath(tempfile.mkdtemp(prefix=prefix)))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@cache
def _package_kernels() -> _Folder:
    return _Folder("pgolf-kernels-")


Source = ScriptSource | PackageSource
