"""How long an evaluation will take, from its first rounds: tried before anything is trained for it or scored by it.

What is tried is the evaluation itself, plan, adaptation, counts and mixer, on tokens that nobody's score depends on.
Where chunks come again (``ttt=replay``) two are tried, with none and with one before each: how many would fit follows.
That is said and not chosen: a number settled by some seconds' timing would make of one command two scores.
Cost: some seconds. Wrong by as much as the machine is busier then than later, and low for counts, which take longer as
they grow, and for kernels that the sealed process has to compile first.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol, runtime_checkable

import numpy as np

from pgolf.eval.blocks import LaneStarts
from pgolf.eval.coder import Enough, Informed, Predicted
from pgolf.eval.evaluation import Evaluation

# A shorter stream takes no longer than trying it would.
WORTH_TARGETS = 50_000
# What is tried: as long as both say.
LEAST_SECONDS, LEAST_STEPS = 1.5, 2  # of what learns by steps


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """``tried`` targets took ``seconds``; the stream has ``targets``."""

    targets: int
    tried: int
    seconds: float

    @property
    def total_seconds(self) -> float:
        """Of the whole stream."""
        return self.targets * self.seconds / self.tried


@runtime_checkable
class Replaying(Protocol):
    """An adaptation; ``replay`` chunks come again before each one's own steps."""

    replay: int


@dataclass(frozen=True, slots=True)
class Replays:
    """``bare_seconds`` of the whole stream where no chunk comes again, ``each_seconds`` more for one before each."""

    bare_seconds: float
    each_seconds: float

    def within(self, seconds: float) -> int | None:
        """How many of them before each chunk would fit; None where not even an evaluation without any does."""
        left = seconds - self.bare_seconds
        return None if left < 0 else int(left / self.each_seconds)


def rehearse(evaluation: Evaluation, text_N: np.ndarray, stream_tokens: int) -> Rehearsal | None:
    """The first rounds of a stream of ``stream_tokens`` made of ``text_N``, again and again; None where it is short.

    Its evaluator is made in any case: raises ConfigError for what does not go together or has no room.
    """
    evaluator, tokens_N = evaluation.evaluator(stream_tokens), np.resize(text_N, stream_tokens)
    if stream_tokens <= WORTH_TARGETS:
        evaluator.check_room(Informed(tokens_N, evaluator.plan.lane_starts).first_tokens)
        return None
    chunk = (evaluator.network.cadence or 0) * evaluator.facts.lanes
    # The first step is none to go by: it wakes the backward pass, and nothing can come again before it.
    before = chunk if 2 * chunk < evaluator.facts.targets else 0
    coder = _Timed(tokens_N, evaluator.plan.lane_starts, before, LEAST_STEPS * max(1, chunk))
    evaluator.run(coder, coder.first_tokens)
    return Rehearsal(evaluator.facts.targets, coder.tried, coder.seconds) if coder.tried else None


def rehearse_replays(evaluation: Evaluation, text_N: np.ndarray, stream_tokens: int) -> Replays | None:
    """What chunks that come again cost; None where none do, or no more than can be told from noise.

    Raises as ``rehearse``.
    """
    if not isinstance(evaluation.ttt, Replaying):
        return None
    seconds = []
    for count in (0, 1):
        ttt = copy.copy(evaluation.ttt)
        ttt.replay = count
        found = rehearse(replace(evaluation, ttt=ttt), text_N, stream_tokens)
        if found is None:
            return None
        seconds.append(found.total_seconds)
    bare, one = seconds
    return Replays(bare, one - bare) if one > bare else None


class _Timed(Informed):
    """Has enough after a while. From when the first targets after ``before`` were done, ``tried`` took ``seconds``."""

    def __init__(self, tokens_N: np.ndarray, lane_starts: LaneStarts, before: int, least: int) -> None:
        super().__init__(tokens_N, lane_starts)
        self._before, self._least, self._began = before, least, math.nan
        self.tried, self.seconds = 0, 0.0

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        rows.nll_nats(token_I), rows.sums()
        now = perf_counter()
        if math.isnan(self._began):
            if self._before <= 0:
                self._began = now
            self._before -= len(token_I)
            return
        self.tried, self.seconds = self.tried + len(token_I), now - self._began
        if self.seconds >= LEAST_SECONDS and self.tried >= self._least:
            raise Enough
