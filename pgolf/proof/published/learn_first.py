"""Adapt on a chunk, then score it: no code length.

Each chunk is trained on for several epochs and scored after the last one, with weights that have seen the targets.
Published as test-time training over several epochs whose last is scored (0.7139 for 5 epochs where one gives 1.1570,
#762), there with adapters per document, here with all weights chunk by chunk. A decoder does not have those weights: it
can train on a chunk only after it has decoded it. Breaks conditions 1, 3 and 4 (spec validity §2, §4 row 14).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch, Network, Rows, Span
from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape, lane_targets
from pgolf.eval.coder import Coder
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.published.adapting import adapting
from pgolf.proof.published.driver import OutOfOrder, driven, in_windows

LETTER = "b"
SOURCE = "#548, #568, #642, #687 history, #762"
_EPOCHS = 5


class _Ahead:
    """``network``, shown a chunk's targets when the first of its rows is asked for."""

    learns = replayed = remembers = False  # from what the loop shows it

    def __init__(self, network: Network, tokens_N: np.ndarray, sizes: Sequence[int], starts: Sequence[int]) -> None:
        assert network.cadence is not None
        self.network, self.cadence, self.offers = network, network.cadence, network.offers
        self._tokens_N = torch.from_numpy(tokens_N.astype(np.int64))
        self._sizes, self._starts, self._shown = sizes, starts, [0] * len(sizes)
        self._lock = threading.Lock()  # batches are predicted side by side

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        with self._lock:
            for block in batch.blocks:
                while self._shown[block.lane] < block.stop:
                    self._show(block.lane)
        return self.network.log_probs(batch, wanted)

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """It has seen them."""

    def fork(self) -> Network:
        raise AssertionError("nobody goes on from here")

    def _show(self, lane: int) -> None:
        start = self._shown[lane]
        stop = self._shown[lane] = min(start + self.cadence, self._sizes[lane])
        token_T = self._tokens_N[self._starts[lane] :][start : stop + 1].unsqueeze(0)
        self.network.observe(Batch((Span(lane, start, start, stop),), token_T[:, :-1], stop - start), token_T[:, 1:])


class LearnsChunkFirst(OutOfOrder):
    def with_all(self, coder: Coder, tokens_N: np.ndarray, progress: Progress | None) -> Tape:
        starts = self.starts
        self.network = _Ahead(self.network, tokens_N, lane_targets(starts, self.facts.targets), starts)
        return self.honestly(coder, tokens_N, progress)


def apply(evaluation: Evaluation) -> Evaluation:
    evaluation = in_windows(evaluation)
    return driven(evaluation, LearnsChunkFirst, ttt=adapting(evaluation, _EPOCHS))
