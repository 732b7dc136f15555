"""Common ground of the forms that use targets out of order: a loop that asks for the whole stream first. Not a form.

Who scores is told all of it and can be given away to the future; who is audited is not, and there the loop is the
honest one, as a decoder's would have to be.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Batch, Network, Rows, Span
from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape, lane_targets
from pgolf.eval.coder import Coder, Enough
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.sliding import Sliding
from pgolf.eval.streaming import Streaming

_STRIDES, _BATCH = 4, 8  # in a window; windows in a batch


class Around:
    """``network``, and around it what a form changes."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.learns, self.replayed, self.remembers = network.learns, network.replayed, network.remembers
        self.cadence, self.offers = network.cadence, network.offers

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        return self.network.log_probs(batch, wanted)

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        self.network.observe(batch, tokens_BK)

    def fork(self) -> Network:
        raise AssertionError("nobody goes on from here")


class OutOfOrder(Evaluator):
    """``with_all`` takes the place of ``run`` where the coder tells every target before any row."""

    def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
        sizes = lane_targets(self.starts, self.facts.targets)
        targets = []
        with contextlib.suppress(Enough):
            targets = [coder.known(Span(lane, 0, 0, size)) for lane, size in enumerate(sizes)]
        if [len(told) for told in targets] != list(sizes):
            return super().run(coder, first_tokens, progress)
        return self.with_all(coder, np.concatenate([first_tokens[:1], *targets]), progress)

    @property
    def starts(self) -> Sequence[int]:
        """Raises ConfigError for lanes that nobody knows before."""
        if not isinstance(self.plan.lane_starts, Sequence):
            raise ConfigError("eval: documents are found as they come, and this form asks for all targets first")
        return self.plan.lane_starts

    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        raise NotImplementedError

    def honestly(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        """The loop as it is."""
        return super().run(coder, [int(tokens_N[start]) for start in self.starts], progress)


def driven(evaluation: Evaluation, driver: type[Evaluator], **changes: Any) -> Evaluation:
    """``evaluation`` with ``changes``, whose evaluators are of the class ``driver``."""

    class Driven(Evaluation):
        def evaluator(self, stream_tokens: int) -> Evaluator:
            made: Any = super().evaluator(stream_tokens)
            made.__class__ = driver
            return made

    return Driven(**{name: getattr(evaluation, name) for name in Evaluation.__dataclass_fields__} | changes)


def in_windows(evaluation: Evaluation) -> Evaluation:
    """``evaluation`` by sliding windows where it streams: a network that remembers a text cannot begin it again."""
    if not isinstance(evaluation.method, Streaming):
        return evaluation
    window, cut = evaluation.method.window, evaluation.method.official_truncation
    stride = window // _STRIDES if window % _STRIDES == 0 else window
    method = Sliding(window=window, stride=stride, batch_windows=_BATCH, lanes=1, official_truncation=cut)
    return dataclasses.replace(evaluation, method=method)
