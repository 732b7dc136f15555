"""Several evaluations of one network beside each other: it goes over the stream once, all their stages along with it.

To look, not to claim: nothing here is sealed or audited, and what is no code length gets its numbers all the same.
"""

# N-1 targets, I positions in the order of prediction, V vocabulary

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.core.results import Score
from pgolf.eval.blocks import LaneStarts
from pgolf.eval.coder import Informed, PlainRows, Predicted
from pgolf.eval.evaluation import Evaluation, make_score
from pgolf.eval.evaluator import under
from pgolf.eval.scorer import Scorer
from pgolf.eval.stage import Chain


@dataclass(frozen=True, slots=True)
class Compared:
    """``stage_seconds``: CPU seconds of experts and mixer alone."""

    score: Score
    stage_seconds: float


def compare(
    evaluations: Sequence[Evaluation],
    tokens_N: np.ndarray,
    *,
    split: str,
    subset: bool,
    target_bytes_N: np.ndarray | None = None,
    progress: Progress | None = None,
) -> list[Compared]:
    """What ``score_stream`` would say of each, to the bit where there are stages. Experts and mixers differ alone.

    Raises ConfigError, DataError.
    """
    started = time.perf_counter()
    tokens_N = evaluations[0].stream(tokens_N)
    evaluators = [replace(evaluation, whole_rows=True).evaluator(len(tokens_N)) for evaluation in evaluations]
    first: Any = evaluators[0]
    first.chain = chains = _Beside([evaluator.chain for evaluator in evaluators])
    coder = _PricesAll(tokens_N, first.plan.lane_starts, chains)
    first.run(coder, coder.first_tokens, under(split, progress))
    seconds = time.perf_counter() - started
    return [
        Compared(
            make_score(
                evaluation,
                tokens_N,
                scorer.nll_nats.values_N,
                scorer.sums.values_N,
                split=split,
                subset=subset,
                seconds=seconds,
                valid=False,
                side_bits=first.plan.side_bits + coder.side_bits,
                target_bytes_N=target_bytes_N,
            ),
            stage_seconds,
        )
        for evaluation, scorer, stage_seconds in zip(evaluations, coder.scorers, chains.seconds, strict=True)
    ]


class _Beside:
    """Chains in one chain's place; one without stages leaves the network's row."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._chains, self.seconds = list(chains), [0.0] * len(chains)
        self.wanted = tuple(dict.fromkeys(name for chain in chains for name in chain.wanted))
        self.row_IV = np.empty((0, 0), dtype=np.float32)  # the network's

    def __len__(self) -> int:
        return len(self._chains)

    def reserve(self, tokens: int) -> None:
        for chain in self._chains:
            chain.reserve(tokens)

    def take(
        self, own_IV: np.ndarray, signals: Mapping[str, np.ndarray], lane_I: np.ndarray, token_I: np.ndarray
    ) -> None:
        self.row_IV = own_IV
        for chain in filter(None, self._chains):
            chain.take(own_IV, {name: signals[name] for name in chain.wanted}, lane_I, token_I)

    def drive(self, begin: int, known: int, wanted: bool = True) -> None:
        for index, chain in enumerate(self._chains):
            if chain:
                began = time.thread_time()
                chain.drive(begin, known, wanted)
                self.seconds[index] += time.thread_time() - began

    def finish(self, count: int | None = None) -> None:
        for chain in filter(None, self._chains):
            chain.finish(count)

    def rows(self) -> list[np.ndarray]:
        """The last rows of each."""
        return [chain.row_IV if chain else self.row_IV for chain in self._chains]


class _PricesAll(Informed):
    """One scorer for each of the chains."""

    def __init__(self, tokens_N: np.ndarray, lane_starts: LaneStarts, chains: _Beside) -> None:
        super().__init__(tokens_N, lane_starts)
        self._chains = chains
        self.scorers = [Scorer(tokens_N, lane_starts) for _ in range(len(chains))]

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        for scorer, row_IV in zip(self.scorers, self._chains.rows(), strict=True):
            scorer.settle(place_I, PlainRows(row_IV[: len(token_I)]), token_I)
