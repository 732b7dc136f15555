"""Of a text that comes twice, a lane for each, one is predicted by what the other has at its place: probe (b).

The lanes go side by side, so that a token of one has been scored when the other's at the same place is predicted, but
not the other way round. Here both rows are made of whatever can be learnt of the other lane. Whoever told the lanes one
after the other, and not in the one order in which they were scored, would find each of them consistent with itself.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pgolf.core.prediction import Batch, Network, Rows, Span
from pgolf.core.protocols import Progress, Tokenizer
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.proof.published.driver import Around, driven

LETTER = "b"
_BLEND = 0.5


class _Beside(Around):
    """``network``, beside whoever holds the tokens: told of one lane, it repeats them in the other."""

    def __init__(self, network: Network, coder: Coder) -> None:
        super().__init__(network)
        self.coder = coder
        self._lock = threading.Lock()  # batches are predicted side by side

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        rows = self.network.log_probs(batch, wanted)
        p_BKV = rows.logp_BKV.exp()
        for place, block in enumerate(batch.blocks):
            with self._lock:
                told_N = self.coder.known(Span(1 - block.lane, 0, 0, block.stop))
            told_K = torch.from_numpy(told_N[block.start :].astype(np.int64))
            said_KV = p_BKV[place, : len(told_K)]
            said_KV *= 1 - _BLEND
            said_KV[torch.arange(len(told_K)), told_K] += _BLEND
        return Rows(p_BKV.log(), rows.signals)


class LooksAcross(Evaluator):
    def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
        self.network = _Beside(self.network, coder)
        return super().run(coder, first_tokens, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    method: Any = copy.copy(evaluation.method)
    method.lanes = 2
    return driven(evaluation, LooksAcross, method=method)


def text(tokens_N: np.ndarray, documents: Sequence[str], tokenizer: Tokenizer) -> tuple[np.ndarray, list[str]]:
    """A stream's whole documents twice, in lanes that are equally long, and what they are."""
    starts = np.flatnonzero(tokens_N == tokenizer.bos_id)
    if len(starts) > 1:  # the last one may have been cut
        tokens_N, documents = tokens_N[: starts[-1]], documents[: len(starts) - 1]
    return np.concatenate([tokens_N, tokens_N, tokens_N[:1]]), [*documents, *documents, documents[0]]
