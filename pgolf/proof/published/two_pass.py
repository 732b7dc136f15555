"""Score everything, learn all of it, and score the beginning once more: no code length.

The second pass goes over the first chunks again, with the weights after the last chunk and the counts of the whole text
where an expert has any, and what it says takes the place of the first. Published with 15 of 63 chunks and tables (#846:
0.2950 → 0.1434, its first chunk 1.1486 → 0.1175, its 15th 0.2817 → 0.1136), with 15 of 1,893 and weights too (#860),
and with all of them (#869, #870). To decode the first token one would need weights made of the last; no repair exists.
Breaks conditions 1 and 4 (spec validity §2, §4 rows 15 and 16; ngram §5).

Here #846's part of the stream is scored again; its chunks are the adaptation's, or a 63rd of the stream each. Counts go
on growing in the second pass, whose tokens have all been counted already; published, the tables stay as they are.
"""

# P passes, N-1 targets, I positions in the order of prediction

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.core.results import Score
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder, Enough, Informed, Predicted
from pgolf.eval.evaluation import Evaluation, byte_counts, make_score
from pgolf.eval.metric import bits_per_byte
from pgolf.proof.published.adapting import adapting
from pgolf.proof.published.driver import OutOfOrder, driven, in_windows

LETTER = "b"
SOURCE = "#846, #853, #860, #869, #870, #991"
_EPOCHS = 3
_AGAIN, _CHUNKS = 15, 63  # that are scored again, of so many


@dataclass(frozen=True, slots=True)
class Passes:
    """``nll_nats_PN`` and ``sum_p_PN``, of both; NaN where there is no second."""

    nll_nats_PN: np.ndarray
    sum_p_PN: np.ndarray
    chunk_tokens: int

    @property
    def nll_nats_N(self) -> np.ndarray:
        """As published: the second's, where there is one."""
        return self._kept(self.nll_nats_PN)

    @property
    def sum_p_N(self) -> np.ndarray:
        return self._kept(self.sum_p_PN)

    def _kept(self, value_PN: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(value_PN[1]), *value_PN)


class ScoresTwice(OutOfOrder):
    def passes(self, tokens_N: np.ndarray, progress: Progress | None = None) -> Passes:
        targets, starts = self.facts.targets, self.starts
        chunk_tokens = self.network.cadence or -(-targets // _CHUNKS)
        chunks = -(-targets // chunk_tokens)
        again = -(-_AGAIN * chunks // _CHUNKS) * chunk_tokens
        found = [_Pass(tokens_N, starts, stop) for stop in (targets, min(again, targets))]
        for each in found:
            self.honestly(each, tokens_N, progress)
        return Passes(np.stack([p.nll_nats_N for p in found]), np.stack([p.sum_p_N for p in found]), chunk_tokens)

    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        passes = self.passes(tokens_N, progress)
        place_N = np.arange(self.facts.targets)
        coder.settle(place_N, _Prices(passes), tokens_N[1:].astype(np.int64))
        return Tape([int(tokens_N[0])], [self.facts.targets])


class _Pass(Informed):
    """Prices of the first targets, up to ``stop``; NaN from there on."""

    def __init__(self, tokens_N: np.ndarray, lane_starts: Sequence[int], stop: int) -> None:
        super().__init__(tokens_N, lane_starts)
        self.stop = stop
        self.nll_nats_N, self.sum_p_N = np.full((2, len(tokens_N) - 1), np.nan)

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        mine_I = place_I < self.stop
        self.nll_nats_N[place_I[mine_I]] = rows.nll_nats(token_I)[mine_I]
        self.sum_p_N[place_I[mine_I]] = rows.sums()[mine_I]
        if self.stop < len(self.nll_nats_N) and not np.isnan(self.nll_nats_N[: self.stop]).any():
            raise Enough


class _Prices:
    """What both came to, as rows would say it."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes

    def nll_nats(self, token_I: np.ndarray) -> np.ndarray:
        return self._passes.nll_nats_N

    def sums(self) -> np.ndarray:
        return self._passes.sum_p_N

    def row(self, index: int) -> np.ndarray:
        raise AssertionError("what is taken from one pass or another is no row")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bits per byte of a chunk in both passes, in the published log's words."""

    number: int
    first_bpb: float
    second_bpb: float

    def __str__(self) -> str:
        first, second = self.first_bpb, self.second_bpb
        return f"pass2 chunk:{self.number} pass1:{first:.4f} pass2:{second:.4f} delta:{first - second:+.4f}"


def score_twice(
    evaluation: Evaluation, tokens_N: np.ndarray, target_bytes_N: np.ndarray | None = None, **how: Any
) -> tuple[Score, list[Chunk]]:
    """What ``evaluation``, with whatever experts, mixer and adaptation it has, claims by two passes; in this process.

    The chunks are those that were scored again. ``target_bytes_N``, ``how``: as for ``make_score``.
    """
    started = time.perf_counter()
    evaluation = dataclasses.replace(in_windows(evaluation), whole_rows=True)
    tokens_N = evaluation.stream(tokens_N)
    evaluator: Any = driven(evaluation, ScoresTwice).evaluator(len(tokens_N))
    passes: Passes = evaluator.passes(tokens_N)
    bytes_N = byte_counts(evaluation, tokens_N, target_bytes_N)
    how |= {"target_bytes_N": target_bytes_N, "valid": False, "seconds": time.perf_counter() - started}
    score = make_score(evaluation, tokens_N, passes.nll_nats_N, passes.sum_p_N, **how)
    return dataclasses.replace(score, method=f"{score.method}+two_pass"), list(_chunks(passes, bytes_N))


def _chunks(passes: Passes, bytes_N: np.ndarray) -> Iterator[Chunk]:
    again = int((~np.isnan(passes.nll_nats_PN[1])).sum())
    size = min(passes.chunk_tokens, again)
    for number, first in enumerate(range(0, again, size), 1):
        part = slice(first, min(first + size, again))
        yield Chunk(number, *(bits_per_byte(nll_nats_N[part], bytes_N[part]) for nll_nats_N in passes.nll_nats_PN))


def apply(evaluation: Evaluation) -> Evaluation:
    """With an adaptation of all weights."""
    evaluation = in_windows(evaluation)
    return driven(evaluation, ScoresTwice, ttt=adapting(evaluation, _EPOCHS))
