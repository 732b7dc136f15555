"""The coder that knows the whole stream and writes it: every target by its row, in the order of prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pgolf.core.prediction import Span
from pgolf.eval.coder import Predicted


class Writer(Protocol):
    def write(self, token: int, row_V: np.ndarray) -> None: ...


class Encoder:
    """``tokens_N``: the stream, which goes to ``writer``."""

    def __init__(self, tokens_N: np.ndarray, writer: Writer, lane_starts: Sequence[int] = (0,)) -> None:
        self._tokens_N = np.asarray(tokens_N).astype(np.int64)
        self._writer, self._lane_starts = writer, tuple(lane_starts)

    @property
    def first_tokens(self) -> list[int]:
        return [int(self._tokens_N[start]) for start in self._lane_starts]

    def known(self, block: Span) -> np.ndarray:
        first = self._lane_starts[block.lane] + 1
        return self._tokens_N[first + block.start : first + block.stop]

    def wants(self, block: Span) -> bool:
        return True

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        for index, token in enumerate(token_I.tolist()):
            self._writer.write(token, rows.row(index))

    def draw(self, place: int, row_V: np.ndarray) -> int:
        raise AssertionError("an encoder knows every token")
