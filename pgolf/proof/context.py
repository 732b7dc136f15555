"""What every probe is given, and how it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgolf.core.results import ProbeResult, Score
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.sealed import SealedScore

if TYPE_CHECKING:  # a cheat's process, which reaches for the verdict, has no range coder
    from pgolf.proof.audit import Audit
    from pgolf.proof.decoding import Decoding

_TOLD = 3  # complaints spelt out in a message


@dataclass(frozen=True)
class Context:
    """``tokens_N`` is the stream as scored, ``sealed`` what the sealed process answered, ``reported`` the record
    made of it, ``audit`` what another one answered that could not see ahead, ``decoding`` what a third made of bytes,
    None where that was not tried. ``documents`` are the raw texts the stream was made of, in order, where they are at
    hand; the stream may be a prefix of them. ``artifact_sha256`` is the hash written down before the stream was opened.
    ``target_bytes_N`` are byte counts that came with the text, where the tokenizer does not count them. ``dev`` is the
    dev score of a run that kept validation closed while it made the weights, None where nobody watched.
    """

    evaluation: Evaluation
    tokens_N: np.ndarray
    sealed: SealedScore
    reported: Score
    audit: Audit
    decoding: Decoding | None
    documents: Sequence[str] | None
    artifact_sha256: str | None
    target_bytes_N: np.ndarray | None = None
    dev: Score | None = None


class Verdict:
    """Collects what a probe measured and what it found wrong; the first complaint leads the message."""

    def __init__(self, letter: str, name: str) -> None:
        self.letter, self.name = letter, name
        self.measured: dict[str, Any] = {}
        self.problems: list[str] = []
        self._started = time.perf_counter()

    def record(self, facts: Mapping[str, Any] | None = None, **more: Any) -> None:
        self.measured.update(facts or {}, **more)

    def require(self, holds: bool, problem: str) -> None:
        if not holds and problem not in self.problems:
            self.problems.append(problem)

    def result(self, summary: str, seconds: float | None = None) -> ProbeResult:
        """``summary`` is the message where nothing was found wrong; ``seconds`` what it took, by default here."""
        told = self.problems[:_TOLD]
        if len(self.problems) > _TOLD:
            told.append(f"and {len(self.problems) - _TOLD} more")
        return ProbeResult(
            letter=self.letter,
            name=self.name,
            passed=not self.problems,
            measured=self.measured,
            message="; ".join(told) or summary,
            seconds=time.perf_counter() - self._started if seconds is None else seconds,
        )
