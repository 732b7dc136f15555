"""The decoder's proof: a stretch of the stream read from bytes, by the rows of a process that has never seen it.

The audited process handed over the rows of a stretch, and the judge wrote its targets with them: see
``pgolf.proof.audit``. Now a third sealed process is told the stream up to that stretch and nothing from there on. It
hands over a row, the judge reads a token from the bytes by it, and that token is what the process learns and predicts
the next one from. If the stretch comes out as it was, and its bytes are no more than its scores, then those scores are
a code length: this was the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.eval.coder import Enough
from pgolf.eval.sealed import Refused, SealedRun, SealedScore, Telling, run_sealed
from pgolf.proof.audit import Audit, row_of
from pgolf.proof.range_coder import RangeReader


@dataclass(frozen=True, slots=True)
class Decoding:
    """``decoded`` tokens of ``stretch`` came out as they were, of ``coded_bytes``."""

    stretch: range
    coded_bytes: int
    decoded: int
    run: SealedRun


def decode_sealed(
    artifact_path: Path,
    tokens_N: np.ndarray,
    sealed: SealedScore,
    audit: Audit,
    vocab_size: int,
    progress: Progress | None = None,
    **how: Any,
) -> Decoding:
    """Read the stretch that ``audit`` wrote; ``how``: as for ``run_sealed``. Raises as that does."""
    agreed = (sealed.lane_starts, sealed.side_bits)
    reader = RangeReader(audit.coded)
    judge = DecodingJudge(tokens_N, audit.stretch, reader, vocab_size, agreed, progress, sealed.place_I)
    run = run_sealed("audit", artifact_path, len(tokens_N), judge, **how)
    return Decoding(audit.stretch, len(audit.coded), judge.decoded, run)


@dataclass
class DecodingJudge:
    """Tells what was scored before the stretch, and in it what the bytes say."""

    tokens_N: np.ndarray
    stretch: range
    reader: RangeReader
    vocab_size: int
    agreed: tuple[tuple[int, ...], float] | None = None
    progress: Progress | None = None
    place_I: np.ndarray | None = None  # in the order of scoring
    telling: Telling = field(init=False)
    decoded: int = 0

    def __post_init__(self) -> None:
        self.telling = Telling(self.tokens_N, self.agreed, self.place_I)
        self._waiting = sorted(self.stretch, key=self.telling.turn_N.__getitem__)

    def answer(self, message: Mapping[str, Any], payload: bytes) -> np.ndarray | None:
        if "ready" in message:
            return self.telling.open(message)
        if self.decoded == len(self.stretch):
            raise Enough
        if "ask" in message:
            told = self.telling.targets(message, self._waiting[self.decoded])
            self._tell()
            return told
        if "row" not in message:
            raise Refused(f"said {sorted(message)}, which is no answer to a decoder")
        place = self.telling.place_of(int(message["row"]))
        lane = self.telling.lane_at(place)
        if place != self._waiting[self.decoded]:
            raise Refused(f"handed over a row for position {place}, which it was not asked for")
        token = self.reader.read(row_of(payload, self.vocab_size))
        if self.telling.one(lane)[0] != token:
            raise Refused(f"position {place:,} decodes to another token, {self.decoded:,} tokens into the stretch")
        self.decoded += 1
        self._tell()
        return np.array([token])

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress("decode", *self.telling.share(self._waiting[-1]))
