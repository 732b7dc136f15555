"""Everything a score depends on besides the stream, and the score itself.

Shapes: N tokens of the stream, N-1 targets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch

from pgolf.core.errors import ConfigError, DataError
from pgolf.core.protocols import Expert, Mixer, Model, Progress, Tokenizer
from pgolf.core.results import Score
from pgolf.eval.evaluator import Evaluator, chunks_of, count_chunks
from pgolf.eval.metric import bits_per_byte
from pgolf.eval.network import NetworkExpert
from pgolf.eval.windows import WindowPlan, official_length
from pgolf.mixer.none import Single
from pgolf.ngram.none import NoNGram
from pgolf.ttt.none import NoAdaptation


class Adaptation(Protocol):
    """What a ``ttt`` technique does: the network's expert in, the adapting expert out."""

    def wrap(self, expert: Expert, chunks: int) -> Expert: ...


class Counts(Protocol):
    """What an ``ngram`` technique does: the experts it contributes."""

    def experts(self, vocab_size: int) -> tuple[Expert, ...]: ...


@dataclass(frozen=True)
class Evaluation:
    """A complete recipe for evaluators. ``evaluator`` starts a fresh one; nothing is shared between two."""

    network: Expert
    tokenizer: Tokenizer
    method: WindowPlan
    metric: Literal["raw", "table"]
    mixer: Mixer = field(default_factory=Single)
    ttt: Adaptation = field(default_factory=NoAdaptation)
    ngram: Counts = field(default_factory=NoNGram)
    device: str = "cpu"
    workers: int = field(default_factory=torch.get_num_threads)
    evaluator_type: type[Evaluator] = Evaluator

    def evaluator(self, stream_tokens: int) -> Evaluator:
        """A fresh evaluator for a stream of that many tokens.

        Raises ConfigError where the mixer does not fit the experts, DataError for fewer than two tokens.
        """
        chunks = count_chunks(stream_tokens, self.method.chunk_tokens)
        network = self.ttt.wrap(self.network.fork(), chunks)
        experts = [network, *self.ngram.experts(self.tokenizer.vocab_size)]
        return self.evaluator_type(
            experts,
            self.mixer.fork(),
            self.method,
            stream_tokens=stream_tokens,
            device=self.device,
            workers=self.workers,
        )

    def stream(self, tokens_N: np.ndarray) -> np.ndarray:
        """The part of ``tokens_N`` that is scored: all of it, unless the method truncates as published.

        Raises DataError for a stream too short to score or with ids outside the vocabulary.
        """
        if self.method.official_truncation:
            tokens_N = tokens_N[: official_length(len(tokens_N), self.method.window)]
        if len(tokens_N) < 2:
            raise DataError(f"the stream to score has {len(tokens_N)} usable tokens; two are the least")
        largest = int(tokens_N.max())
        if largest >= self.tokenizer.vocab_size:
            raise DataError(f"token id {largest} lies outside the vocabulary of {self.tokenizer.vocab_size}")
        return tokens_N


def evaluation_of(model: Model, tokenizer: Tokenizer, method: WindowPlan) -> Evaluation:
    """The evaluation of a live model as it is: no adaptation, no counts. ``method`` says how it is windowed."""
    metric: Literal["raw", "table"] = tokenizer.metric  # type: ignore[attr-defined]
    check_metric(method, metric)
    device = next((str(p.device) for p in model.parameters()), "cpu")
    return Evaluation(NetworkExpert(model), tokenizer, method, metric, device=device)


def check_metric(method: WindowPlan, metric: str) -> None:
    """Raise ConfigError for the published truncation with the raw metric, which counts every byte."""
    if method.official_truncation and metric != "table":
        raise ConfigError(
            "eval.official_truncation: true drops the stream's tail and is only for a published vocabulary "
            f"(metric table); this tokenizer's metric is {metric}"
        )


def score_stream(
    evaluation: Evaluation,
    tokens_N: np.ndarray,
    *,
    split: str,
    subset: bool,
    valid: bool = False,
    target_bytes_N: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Score:
    """Score ``tokens_N`` in this process. For dev scores; a run's final score comes from ``score_sealed``.

    ``target_bytes_N``: see ``byte_counts``.
    """
    started = time.perf_counter()
    tokens_N = evaluation.stream(tokens_N)
    evaluator = evaluation.evaluator(len(tokens_N))
    for tokens_n in chunks_of(tokens_N, evaluation.method.chunk_tokens):
        evaluator.feed(tokens_n)
        if progress is not None:
            progress(split, evaluator.position, len(tokens_N) - 1)
    seconds = time.perf_counter() - started
    return make_score(
        evaluation,
        tokens_N,
        evaluator.slots.nll_nats_N,
        split=split,
        subset=subset,
        seconds=seconds,
        valid=valid,
        target_bytes_N=target_bytes_N,
    )


def byte_counts(evaluation: Evaluation, tokens_N: np.ndarray, target_bytes_N: np.ndarray | None = None) -> np.ndarray:
    """Bytes of each target ``tokens_N[1:]``: int64 [N-1], by the tokenizer's rule or as given.

    ``target_bytes_N`` are counts that came with the text (``Dataset.sidecar_target_bytes``), one a target; they
    may go on after the end of a truncated stream. Raises DataError where they end before it.
    """
    if target_bytes_N is None:
        return evaluation.tokenizer.byte_lengths(tokens_N)
    targets = len(tokens_N) - 1
    if len(target_bytes_N) < targets:
        raise DataError(f"byte counts for {len(target_bytes_N):,} targets; the stream has {targets:,}")
    return np.asarray(target_bytes_N[:targets], dtype=np.int64)


def make_score(
    evaluation: Evaluation,
    tokens_N: np.ndarray,
    nll_nats_N: np.ndarray,
    *,
    split: str,
    subset: bool,
    seconds: float,
    valid: bool,
    target_bytes_N: np.ndarray | None = None,
) -> Score:
    """The record of one code length, from the scores of the targets ``tokens_N[1:]``.

    ``target_bytes_N``: see ``byte_counts``. Raises ValueError where a target has no score.
    """
    bytes_N = byte_counts(evaluation, tokens_N, target_bytes_N)
    val_bpb = bits_per_byte(nll_nats_N, bytes_N)
    return Score(
        val_loss=float(nll_nats_N.sum(dtype=np.float64)) / len(nll_nats_N),
        val_bpb=val_bpb,
        method=evaluation.method.name,
        window=evaluation.method.window,
        stride=evaluation.method.stride,
        metric=evaluation.metric,
        split=split,
        subset=subset,
        tokens=len(nll_nats_N),
        bytes=int(bytes_N.sum(dtype=np.int64)),
        seconds=seconds,
        valid=valid,
    )
