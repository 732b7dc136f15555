"""Counts of the whole text but for the token's own occurrence: no code length.

p'(v) = (1-a) p(v) + a (c(v) - [v=x]) / (C - 1), c what followed the last token anywhere in the text, x what follows it
here. A second pass that subtracts each token's own count looks fair: none is predicted by itself (#881, 0.0990). But
all that come later are still in it, and a decoder has none of them. Breaks conditions 1 and 4 (spec validity §4 row 15;
ngram §5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from pgolf.core.prediction import Batch, Network, Rows
from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.published.driver import Around, OutOfOrder, driven

LETTER = "b"
SOURCE = "#881"
_BLEND = 0.3


class _AllButOne(Around):
    """``network``, beside the counts of a whole text."""

    def __init__(self, network: Network, tokens_N: np.ndarray, starts: Sequence[int], vocab_size: int) -> None:
        super().__init__(network)
        self._tokens, self._starts = tokens_N.tolist(), starts
        self._count: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(vocab_size, dtype=np.float32))
        for context, token in zip(self._tokens, self._tokens[1:], strict=False):
            self._count[context][token] += 1

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        rows = self.network.log_probs(batch, wanted)
        p_BKV = rows.logp_BKV.exp()
        for index, block in enumerate(batch.blocks):
            first = self._starts[block.lane]
            for k, place in enumerate(range(first + block.start, first + block.stop)):
                count_V = torch.from_numpy(self._count[self._tokens[place]].copy())
                count_V[self._tokens[place + 1]] -= 1
                if count_V.any():
                    p_BKV[index, k] = (1 - _BLEND) * p_BKV[index, k] + _BLEND * count_V / count_V.sum()
        return Rows(p_BKV.log(), rows.signals)


class LeavesOneOut(OutOfOrder):
    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        self.network = _AllButOne(self.network, tokens_N, self.starts, self.facts.vocab_size)
        return self.honestly(coder, tokens_N, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    return driven(evaluation, LeavesOneOut)
