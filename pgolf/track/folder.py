"""The folder of one run, ``runs/<name>/seed=<n>/``, and who may write into it.

A complete run is never overwritten unasked; what a crashed run left is set aside, not deleted; two
processes never share a folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from pgolf.core.atomic import write_text_atomic
from pgolf.core.command import OVERRIDES_NAME, overrides_text
from pgolf.core.errors import RunError
from pgolf.track.lock import LOCK_NAME, FolderLock
from pgolf.track.result import COMPLETE, RESULT_NAME, read_result

ASIDE = "unfinished-"
CHECKPOINTS = "checkpoints"  # the folder of what an unfinished run goes on from
_MAX_ORDINAL = 10_000


class RunFolder:
    """Paths of a run's files, held under a lock. Use ``RunFolder.open`` and close it, or ``with`` it.

    ``rerun`` is the ordinal (1 for ``seed=2``, 2 for ``seed=2.r2``); ``note`` is a line for the user when the
    folder was not new, else empty.
    """

    def __init__(self, path: Path, seed: int, rerun: int, lock: FolderLock, note: str) -> None:
        self.path = path
        self.seed = seed
        self.rerun = rerun
        self.note = note
        self._lock = lock
        self.config = path / "config.yaml"  # the composed configuration
        self.overrides = path / OVERRIDES_NAME  # the words of the command line, one a line
        self.metrics = path / "metrics.jsonl"  # one JSON object per logged step
        self.train_log = path / "train.log"  # the lines other tools parse
        self.console_log = path / "console.log"  # what the user saw
        self.artifact = path / "artifact.pgolf"  # the packed model
        self.script = path / "train_gpt.py"  # the run's code as one file, the bytes that are counted
        self.result = path / RESULT_NAME  # what the run came to
        self.certificate = path / "certificate.json"  # every probe with its measurements
        # float weights: the exported ones, or the last good ones of a run that broke off
        self.weights = path / "weights.pt"

    @classmethod
    def open(cls, root: Path, name: str, seed: int, *, overwrite: bool = False, rerun: bool = False) -> RunFolder:
        """Take the folder of run ``name`` and ``seed`` under ``root``, clean and locked.

        A complete run there is an error, unless ``overwrite`` (it is deleted) or ``rerun`` (the next free
        ordinal is taken). The files of an unfinished run move into ``unfinished-<k>/``.
        Raises RunError for all of these, for places that cannot be used, and when another process is there.
        """
        if overwrite and rerun:
            raise RunError("overwrite=true and rerun=true exclude each other: choose one")
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise RunError(f"run name {name!r}: not usable as the name of one folder")
        if not rerun:
            return cls._take(root, name, seed, 1, overwrite=overwrite)
        for ordinal in range(1, _MAX_ORDINAL):
            try:
                return cls._take(root, name, seed, ordinal, overwrite=False)
            except _Occupied:
                continue
        raise RunError(f"{root / name}: {_MAX_ORDINAL - 1} reruns of seed {seed} already; take another seed")

    @classmethod
    def reopen(cls, root: Path, name: str, seed: int) -> RunFolder | None:
        """Take the folder of an unfinished run as it is, locked; of several ordinals the last. None: there is none.

        Raises RunError where all are complete, and when another process is there.
        """
        pattern = re.compile(rf"seed={seed}(?:\.r(\d+))?")
        there = {int(m[1] or 1): p for p in (root / name).glob("seed=*") if (m := pattern.fullmatch(p.name))}
        described = ""
        for ordinal, path in sorted(there.items(), reverse=True):
            status, described = status_of(path)
            if status not in COMPLETE:
                return cls(path, seed, ordinal, _locked(path), "")
        if there:
            raise RunError(
                f"resume: {path}: this run is complete ({described}); nothing of it is left to do. Give one of: "
                "rerun=true, overwrite=true, another seed=... instead"
            )
        return None

    @classmethod
    def _take(cls, root: Path, name: str, seed: int, ordinal: int, *, overwrite: bool) -> RunFolder:
        path = root / name / (f"seed={seed}" if ordinal == 1 else f"seed={seed}.r{ordinal}")
        _make_directory(root, path)
        lock = _locked(path)
        try:
            note = _clear(path, overwrite)
        except OSError as error:
            lock.release()
            raise RunError(_cannot(path, "cannot be cleared", error)) from error
        except BaseException:
            lock.release()
            raise
        return cls(path, seed, ordinal, lock, note)

    def write_config(self, text: str) -> None:
        """Write config.yaml. Raises RunError when it cannot be written."""
        write_text_atomic(self.config, text)

    def write_overrides(self, overrides: Sequence[str]) -> None:
        """Write the words of the command line, one a line. Raises RunError when they cannot be written."""
        write_text_atomic(self.overrides, overrides_text(overrides))

    def close(self) -> None:
        """Let others in. The files stay."""
        self._lock.release()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Occupied(RunError):
    """A complete run lies there, or another process is at work: a rerun takes the next ordinal."""


def _locked(path: Path) -> FolderLock:
    lock = FolderLock(path)
    try:
        lock.acquire()
    except RunError as error:
        raise _Occupied(str(error)) from None
    except OSError as error:
        raise RunError(_cannot(path, "cannot be locked for writing", error)) from error
    return lock


def _cannot(path: Path, what: str, error: OSError) -> str:
    return f"{path}: {what}: {error.strerror or error}; choose another place with run_root=..."


def _make_directory(root: Path, path: Path) -> None:
    for place in (root, path.parent, path):
        if place.exists() and not place.is_dir():
            raise RunError(f"{place}: is a file, not a folder; choose another place with run_root=...")
    try:
        path.mkdir(parents=True, exist_ok=True)
        list(path.iterdir())
    except OSError as error:
        raise RunError(_cannot(path, "cannot be used as a run folder", error)) from error


def _clear(path: Path, overwrite: bool) -> str:
    """Empty the locked folder by the opening rules; return a line for the user or an empty string."""
    old = [entry for entry in path.iterdir() if entry.name != LOCK_NAME and not entry.name.startswith(ASIDE)]
    if not old:
        return ""
    status, described = status_of(path)
    if status not in COMPLETE:
        aside = _next_aside(path)
        aside.mkdir()
        for entry in old:
            entry.rename(aside / entry.name)
        lost = "; resume=true would have gone on with it" if (aside / CHECKPOINTS).is_dir() else ""
        return f"{path}: an earlier run {described}; its files are now in {aside.name}/{lost}"
    if not overwrite:
        raise _Occupied(
            f"{path}: this run is already there ({described}). To go on, give one of: overwrite=true (its files "
            f"are deleted), rerun=true (the next free ordinal, such as {_next_ordinal(path)}), another seed=..."
        )
    for entry in old:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return f"{path}: overwrote the run that was there ({described})"


def status_of(path: Path) -> tuple[str, str]:
    """Status of the run in a folder, and a few words on it for a message."""
    if not (path / RESULT_NAME).exists():
        return "unfinished", "stopped without a result"
    try:
        result = read_result(path)
    except RunError as error:
        if any(text in str(error) for text in ("schema version", "half a result")):  # it ended: not ours to move
            return "finished", str(error).partition(": ")[2]
        return "unfinished", "left a result that cannot be read"
    status, final = result["status"], (result.get("scores") or {}).get("final") or {}
    if status not in COMPLETE:
        return status, f"ended as {status!r}" + (f" ({result['reason']})" if result.get("reason") else "")
    bpb = final.get("val_bpb")
    return status, status + (f", final val_bpb {bpb:.4f}" if isinstance(bpb, float) else ", without a final val_bpb")


def _next_aside(path: Path) -> Path:
    taken = [int(e.name[len(ASIDE) :]) for e in path.glob(f"{ASIDE}*") if e.name[len(ASIDE) :].isdecimal()]
    return path / f"{ASIDE}{max(taken, default=0) + 1}"


def _next_ordinal(path: Path) -> str:
    seed, _, ordinal = path.name.partition(".r")
    number = int(ordinal or 1) + 1
    while (path.parent / f"{seed}.r{number}").exists():
        number += 1
    return f"{seed}.r{number}"
