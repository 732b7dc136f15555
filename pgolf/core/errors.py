"""Errors a user can cause. Anything else that is raised is our own bug and keeps its traceback.

Every message names the place, the value, the choices and, where there is one, the nearest match.
The exit status of a command is the ``exit_status`` of the error that ended it (decisions 19).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(ValueError):
    """Base of all errors that are printed as one message instead of a traceback."""

    exit_status = 2


class ConfigError(UserError):
    """One or more problems in the composed configuration; all of them are listed."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(UserError):
    """A text, shard, tokenizer or stream that cannot be used."""


class ArtifactError(UserError):
    """A file that is not a readable pgolf artifact, or not one of this version."""


class RunError(UserError):
    """A run folder that cannot be used: finished, unreadable, unwritable."""


class CannotResume(RunError):
    """What an unfinished run has left is nothing to go on from; it can begin anew."""


class TrainingError(UserError):
    """Training that had to stop: the loss is not a finite number."""

    exit_status = 1


class RankLost(UserError):
    """Another of the processes that share an evaluation or a training has ended."""

    exit_status = 1


class RanksDisagree(UserError):
    """The processes that share an evaluation or a training have come to different numbers."""

    exit_status = 1


class OverBudget(UserError):
    """The artifact is over its cap; the message is the byte ledger. Exit status 3."""

    exit_status = 3


class CertificateError(UserError):
    """The score is not a code length; the message names the failed probes. Exit status 4."""

    exit_status = 4


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of ``choices``, or an empty string."""
    near = get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
