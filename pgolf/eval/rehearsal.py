"""How long an evaluation will take, from its first rounds: tried before anything is trained for it or scored by it.

What is tried is the evaluation itself, plan, adaptation, counts and mixer, on tokens that nobody's score depends on.
Cost: some seconds. Wrong by as much as the machine is busier then than later, and low for counts, which take longer as
they grow, and for kernels that the sealed process has to compile first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from pgolf.core.prediction import Span
from pgolf.eval.coder import Enough, Predicted
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


def rehearse(evaluation: Evaluation, text_N: np.ndarray, stream_tokens: int) -> Rehearsal | None:
    """The first rounds of a stream of ``stream_tokens`` made of ``text_N``, again and again; None where it is short.

    Its evaluator is made in any case: raises ConfigError for what does not go together or has no room.
    """
    evaluator = evaluation.evaluator(stream_tokens)
    if stream_tokens <= WORTH_TARGETS:
        return None
    coder = _Timed(text_N, evaluator.plan.lane_starts, LEAST_STEPS * (evaluator.network.cadence or 1))
    evaluator.run(coder, [int(text_N[0])] * len(evaluator.plan.lane_starts))
    return Rehearsal(evaluator.facts.targets, coder.tried, coder.seconds) if coder.tried else None


class _Timed:
    """Tells all that it is asked for, and has enough after a while; the clock starts when the first targets are done.

    ``tried`` targets took ``seconds``.
    """

    def __init__(self, text_N: np.ndarray, lane_starts: Sequence[int], least: int) -> None:
        self._text_N, self._lane_starts, self._least = text_N, lane_starts, least * len(lane_starts)
        self._began: float | None = None
        self.tried, self.seconds = 0, 0.0

    def known(self, block: Span) -> np.ndarray:
        places_n = self._lane_starts[block.lane] + 1 + np.arange(block.start, block.stop)
        return self._text_N[places_n % len(self._text_N)].astype(np.int64)

    def wants(self, block: Span) -> bool:
        return True

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        rows.nll_nats(token_I), rows.sums()
        now = perf_counter()
        if self._began is None:
            self._began = now
            return
        self.tried, self.seconds = self.tried + len(token_I), now - self._began
        if self.seconds >= LEAST_SECONDS and self.tried >= self._least:
            raise Enough

    def draw(self, place: int, row_V: np.ndarray) -> int:
        raise AssertionError("it was told every token")
