"""The coder that knows the whole stream and writes it: every target by its row, in the order of prediction."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pgolf.eval.blocks import LaneStarts
from pgolf.eval.coder import Informed, Predicted


class Writer(Protocol):
    def write(self, token: int, row_V: np.ndarray) -> None: ...


class Encoder(Informed):
    """``tokens_N``: the stream, which goes to ``writer``."""

    def __init__(self, tokens_N: np.ndarray, writer: Writer, lane_starts: LaneStarts = (0,)) -> None:
        super().__init__(tokens_N, lane_starts)
        self._writer = writer

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        for index, token in enumerate(token_I.tolist()):
            self._writer.write(token, rows.row(index))
