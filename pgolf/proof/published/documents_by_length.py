"""Adapt to documents of some lengths alone, and tell nobody which they are: no code length.

Whether a document has adapters depends on how long it is, and so on where it ends, which a decoder finds out last.
Published with a minimum of 1,024, then 512 and 256 tokens (spec ttt §3.2, validity §4 row 23). With what is decided
told and charged, a bit a document, it is a code length: ``eval=documents_gated``. Breaks condition 1.

Here a document must have as many tokens as two windows, in place of the published number, which texts of a few windows
do not reach; adapters on the head learn from each stride.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Sequence

import numpy as np

from pgolf.core.prediction import Span
from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder, Enough
from pgolf.eval.documents import DocumentPlan, DocumentsApart
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.proof.published.driver import driven
from pgolf.ttt.document_lora import DocumentLoRA

LETTER = "b"
SOURCE = "#687 history, #1610, #1626"
WINDOWS, _STRIDES = 2, 4
_BESIDE, _BATCH = 2, 8


class KnowsLengths(Evaluator):
    """Of its plan's gate it says nothing. Where it is not told the stream, it adapts to all documents."""

    def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
        assert isinstance(self.plan, DocumentPlan)
        how, twin = self.plan.lane_starts, copy.copy(self)
        targets = [np.array([how.token])]
        with contextlib.suppress(Enough):
            targets += [_lane(coder, lane, how.token, how.targets) for lane in range(first_tokens[1])]
        stream_N = np.concatenate(targets)[: self.facts.stream_tokens]
        if len(stream_N) == self.facts.stream_tokens:
            gated = dataclasses.replace(how, within=(WINDOWS * self.plan.window, self.facts.stream_tokens))
            twin.plan = dataclasses.replace(self.plan, lane_starts=gated)
            first_tokens = gated.cut(stream_N).told
        return Evaluator.run(twin, coder, first_tokens, progress)


def _lane(coder: Coder, lane: int, token: int, most: int) -> np.ndarray:
    """The lane's targets as far as they are told; the last lane's may go on beyond what there is."""
    told_n = coder.known(Span(lane, 0, 0, most))
    return told_n[: int(np.argmax(told_n == token)) + 1] if (told_n == token).any() else told_n


def apply(evaluation: Evaluation) -> Evaluation:
    window = evaluation.method.window
    stride = window // _STRIDES if window % _STRIDES == 0 else window
    method = DocumentsApart(
        window=window,
        stride=stride,
        batch_documents=_BESIDE,
        batch_windows=_BATCH,
        order="stream",
        official_truncation=evaluation.method.official_truncation,
    )
    ttt = DocumentLoRA(
        chunk_tokens=stride,
        trains=["head"],
        rank=8,
        alpha=8.0,
        warm=False,
        least_tokens=0,
        lr=0.01,
        beta1=0.9,
        beta2=0.95,
        epsilon=1e-10,
        weight_decay=0.0,
        keep=0.0,
        temperature=1.0,
        temperature_per_token=False,
    )
    return driven(evaluation, KnowsLengths, method=method, ttt=ttt)
