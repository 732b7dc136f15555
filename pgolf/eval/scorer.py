"""The coder that knows the whole stream: it prices every target once, and keeps the sum of its row if one was made.

Shapes: N-1 targets of the stream, I positions in the order of prediction.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pgolf.eval.blocks import LaneStarts
from pgolf.eval.coder import Informed, Predicted
from pgolf.eval.slots import WriteOnce


class Scorer(Informed):
    """``nll_nats`` and ``sums``: write-once slots, float64 [N-1]."""

    def __init__(self, tokens_N: np.ndarray, lane_starts: LaneStarts = (0,)) -> None:
        super().__init__(tokens_N, lane_starts)
        self.nll_nats, self.sums = WriteOnce(len(tokens_N) - 1), WriteOnce(len(tokens_N) - 1)

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        nll_nats_I, sum_I, place_I = rows.nll_nats(token_I), rows.sums(), self.in_stream(place_I)
        for start, stop in stretches(place_I):
            self.nll_nats.write(int(place_I[start]), nll_nats_I[start:stop])
            if not np.isnan(sum_I[start:stop]).all():
                self.sums.write(int(place_I[start]), sum_I[start:stop])


def stretches(place_I: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of the runs of consecutive places."""
    cuts = np.flatnonzero(np.diff(place_I) != 1) + 1
    edges = [0, *cuts.tolist(), len(place_I)]
    return list(pairwise(edges))
