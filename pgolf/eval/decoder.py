"""The coder that knows no target: it reads each one from what an ``Encoder`` wrote, by its row."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pgolf.core.prediction import Span
from pgolf.eval.coder import NOTHING, Predicted


class Reader(Protocol):
    def read(self, row_V: np.ndarray) -> int: ...


class Decoder:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def known(self, block: Span) -> np.ndarray:
        return NOTHING

    def wants(self, block: Span) -> bool:
        return False

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        """No block is told whole."""

    def draw(self, place: int, row_V: np.ndarray) -> int:
        return self._reader.read(row_V)
