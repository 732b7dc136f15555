"""Evaluators at the start of any chunk, for probes to replay from; and the facts they share.

Where the mixer does not learn, the state at a chunk's start is reached by letting the experts observe what
came before, without scoring it. Otherwise everything before must be scored, and how far that can go is decided
by the time allowed; probe (f) holds what is reached to the sealed process's scores.

Shapes: N tokens of the stream, n tokens of a chunk.
"""

from __future__ import annotations

import time

import numpy as np

from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator, chunks_of
from pgolf.proof.fingerprint import fingerprint
from pgolf.proof.spies import WatchedExpert, watch


class Replay:
    """``chosen`` are the chunks the probes look at: first, middle, last and the one of lowest cost per token,
    as far as ``advance_seconds`` reach.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        tokens_N: np.ndarray,
        sealed_nll_nats_N: np.ndarray,
        advance_seconds: float,
    ) -> None:
        self.evaluation = evaluation
        self.tokens_N = tokens_N
        self.chunks = list(chunks_of(tokens_N, evaluation.method.chunk_tokens))
        start = evaluation.evaluator(len(tokens_N))
        self._snapshots: dict[int, Evaluator] = {0: start}
        self._baselines: dict[int, np.ndarray] = {}
        self._watched: dict[int, tuple[Evaluator, list[WatchedExpert], np.ndarray]] = {}
        self._measure_state(start)
        began = time.perf_counter()
        self._advance(start.fork(), 0)
        cost = max(time.perf_counter() - began, 1e-6)
        self.reach = max(1, min(len(self.chunks), 1 + int(advance_seconds / cost)))
        self.chosen = self._choose(sealed_nll_nats_N)

    def positions(self, chunk: int) -> tuple[int, int]:
        """The (first, last) scored positions of a chunk, ``last`` exclusive."""
        size = self.evaluation.method.chunk_tokens
        return chunk * size, min((chunk + 1) * size, len(self.tokens_N) - 1)

    def fork_at(self, chunk: int) -> Evaluator:
        """A fresh evaluator in the state it has when ``chunk`` is about to come."""
        nearest = max(c for c in self._snapshots if c <= chunk)
        if nearest != chunk:
            evaluator = self._snapshots[nearest].fork()
            for index in range(nearest, chunk):
                self._advance(evaluator, index)
            self._snapshots[chunk] = evaluator
        return self._snapshots[chunk].fork()

    def baseline(self, chunk: int) -> np.ndarray:
        """The chunk's scores (float64 nats) as this process computes them."""
        if chunk not in self._baselines:
            evaluator = self.fork_at(chunk)
            evaluator.feed(self.chunks[chunk])
            first, last = self.positions(chunk)
            self._baselines[chunk] = evaluator.slots.nll_nats_N[first:last].copy()
        return self._baselines[chunk]

    def watched(self, chunk: int) -> tuple[Evaluator, list[WatchedExpert], np.ndarray]:
        """The evaluator after it was fed ``chunk``, its watched experts, and what ``feed`` returned."""
        if chunk not in self._watched:
            evaluator = self.fork_at(chunk)
            experts = watch(evaluator)
            returned = evaluator.feed(self.chunks[chunk])
            self._watched[chunk] = evaluator, experts, returned
        return self._watched[chunk]

    def _measure_state(self, start: Evaluator) -> None:
        """Whether experts and mixer change when they are shown the first chunk."""
        evaluator = start.fork()
        experts, mixer = fingerprint(evaluator.experts), fingerprint(evaluator.mixer)
        evaluator.feed(self.chunks[0])
        self._baselines[0] = evaluator.slots.nll_nats_N[slice(*self.positions(0))].copy()
        self.experts_learn = fingerprint(evaluator.experts) != experts
        self.mixer_learns = fingerprint(evaluator.mixer) != mixer

    def _advance(self, evaluator: Evaluator, chunk: int) -> None:
        if self.mixer_learns:
            evaluator.feed(self.chunks[chunk])
        else:
            evaluator.skip(self.chunks[chunk])

    def _choose(self, nll_nats_N: np.ndarray) -> tuple[int, ...]:
        means = [float(np.nan_to_num(nll_nats_N[slice(*self.positions(c))], nan=99).mean()) for c in range(self.reach)]
        chosen = {0, self.reach // 2, self.reach - 1, int(np.argmin(means))}
        return tuple(sorted(chosen))
