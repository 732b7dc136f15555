"""Which revision of the code ran: the commit and whether the files differ from it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_GIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class GitFacts:
    """``sha`` and ``dirty`` are None where there is no git, no repository, or the code is not in it."""

    sha: str | None
    dirty: bool | None


def git_facts(where: Path | None = None) -> GitFacts:
    """Commit and state of the repository that tracks the folder ``where`` (default: this package).

    Never raises. An installed copy inside somebody else's repository is not tracked there and gives None.
    """
    place = where if where is not None else Path(__file__).resolve().parent
    sha = _git(place, "rev-parse", "HEAD")
    if not sha or not _git(place, "ls-files", "."):
        return GitFacts(None, None)
    status = _git(place, "status", "--porcelain", "--", ":/")
    return GitFacts(sha, None if status is None else bool(status))


def _git(place: Path, *words: str) -> str | None:
    """Output of one git command, or None when it could not be had."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(place), *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
