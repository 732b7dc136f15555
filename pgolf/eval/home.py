"""The temporary folder that a sealed process lives in, what it can reach from there, and how it is started.

Kernels that the code compiles by numba are kept for later processes of the same source as they are when its plan is
said: before it has been told anything of the stream they can hold nothing but what script and artifact say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

from pgolf.core.errors import ConfigError
from pgolf.eval.library import (
    DEVICE_FILES,
    DRIVER_FILES,
    SYSTEM_FILES,
    expanded,
    libraries_in_use,
    library,
    shared_libraries,
)
from pgolf.eval.source import PackageSource, ScriptSource, Source
from pgolf.eval.zygote import Forked, fork, python

# Passed on because the GPU's driver needs them, or because they choose the kernels that compute, which must be those
# that this process replays with; nothing else of the environment is, but the folders of LD_LIBRARY_PATH in use.
ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "SYSTEMROOT",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
)


# What such a variable may say; bytes that nobody counts are no setting.
_PLAIN = re.compile(r"[\w.,:;+\-/\\ ]{0,200}", re.ASCII)


class Home:
    """One sealed process's; it may write in ``scratch``, its working folder, and in ``kernels``, numba's."""

    def __init__(self, source: Source, device: str = "cpu") -> None:
        is_package = isinstance(source, PackageSource)
        self.source, self.device, self.library = source, device, library(own=is_package)
        self.folders = source.folders if isinstance(source, PackageSource) else ()
        self.script: str | None = None

    def __enter__(self) -> Home:
        self._folder = tempfile.TemporaryDirectory(prefix="pgolf-sealed-")
        place = Path(os.path.realpath(self._folder.name))
        self.scratch, self.kernels, self.forbidden = place / "scratch", place / "kernels", place / "forbidden"
        self.scratch.mkdir()
        self.kernels.mkdir()
        self.forbidden.write_text("Whoever reads this is not isolated.\n")
        if isinstance(self.source, ScriptSource):
            self.script = str(self.source.path)
        _copy(self.source.kernels, self.kernels)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def keep_kernels(self) -> None:
        _copy(self.kernels, self.source.kernels)

    def take(self, artifact: Path) -> str:
        """Copy the artifact in, and return where it lies now: its own path would tell more than its bytes."""
        return shutil.copyfile(artifact, self.scratch.with_name("artifact.pgolf")).as_posix()

    def reach(self, artifact: str) -> dict[str, Any]:
        """What is given to ``pgolf.eval.isolation.Reach``."""
        gpu = self.device.startswith("cuda")
        readable = [artifact, *([self.script] if self.script else []), *self.library.files, *self.folders]
        readable += [*shared_libraries(), *SYSTEM_FILES, *(expanded(DRIVER_FILES) if gpu else [])]
        return {
            "readable": readable,
            "writable": [str(self.scratch), str(self.kernels)],
            "devices": expanded(DEVICE_FILES) if gpu else [],
            "forbidden": str(self.forbidden),
        }

    def start(self, program: str, threads: int, **how: Any) -> subprocess.Popen[bytes]:
        """Python with ``program``; see ``pgolf.eval.zygote.python``."""
        return subprocess.Popen(
            python(program),
            cwd=self.scratch,
            env=environment(threads, self.scratch, self.kernels),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C and a closed terminal reach this process, which ends the child
            **how,
        )

    def start_sealed(self, task: str, threads: int, log: IO[bytes]) -> subprocess.Popen[bytes] | Forked:
        """A process that serves one stream, as ``pgolf.eval.sealed_child.main`` does; ``task``: see ``zygote.fork``."""
        forked = None
        if not self.device.startswith("cuda"):
            own = environment(threads, self.scratch, self.kernels)
            forked = fork(task, self.library.places, own, self.scratch, log.fileno())
        return forked or self.start("from pgolf.eval.sealed_child import main; main()", threads, stderr=log)


def environment(threads: int, scratch: Path, kernels: Path) -> dict[str, str]:
    """Raises ConfigError for a variable whose value is no setting."""
    kept = settings_passed_on()
    kept |= {"HOME": str(scratch), "TMPDIR": str(scratch), "NUMBA_CACHE_DIR": str(kernels), "LOGNAME": "sealed"}
    return kept | {"LANG": "C.UTF-8", "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def settings_passed_on() -> dict[str, str]:
    """Of this process's environment; a certificate tells them. Raises ConfigError as ``environment``."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    for name, value in kept.items():
        if not _PLAIN.fullmatch(value):
            raise ConfigError(
                f"{name}: {value[:40]!r}… is not what such a variable says, and a sealed process gets nothing that is "
                "not counted; unset it"
            )
    folders = os.pathsep.join(libraries_in_use())
    return kept | ({"LD_LIBRARY_PATH": folders} if folders else {})


def _copy(folder: Path, to: Path) -> None:
    """The files of a folder and of those in it, as they are; a link stays one, and leads nowhere from a process that
    may not read its end. Not those that numba is still writing: while the first of several ranks says its plan the
    others compile, and such a file may be gone, under its own name, before it is copied."""
    shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.tmp.*"))
