"""Common ground of the cheats that claim other scores than their rows give. Not a cheat itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pgolf.core.prediction import Span
from pgolf.core.protocols import Progress
from pgolf.eval.blocks import Tape
from pgolf.eval.coder import Coder, Predicted
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator

Settle = Callable[[Coder, np.ndarray, Predicted, np.ndarray], None]


class Claimed:
    """Rows with a price of their own."""

    def __init__(self, rows: Predicted, nll_nats_I: np.ndarray) -> None:
        self._rows, self._nll_nats_I = rows, nll_nats_I

    def nll_nats(self, token_I: np.ndarray) -> np.ndarray:
        return self._nll_nats_I

    def sums(self) -> np.ndarray:
        return self._rows.sums()

    def row(self, index: int) -> np.ndarray:
        return self._rows.row(index)


class GoBetween:
    """Stands between the loop and its coder, and settles as the cheat likes."""

    def __init__(self, coder: Coder, settle: Settle) -> None:
        self._coder, self._settle = coder, settle

    def known(self, block: Span) -> np.ndarray:
        return self._coder.known(block)

    def wants(self, block: Span) -> bool:
        return self._coder.wants(block)

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        self._settle(self._coder, place_I, rows, token_I)

    def draw(self, place: int, row_V: np.ndarray) -> int:
        return self._coder.draw(place, row_V)


def settling(evaluation: Evaluation, settle: Settle) -> Evaluation:
    """``evaluation`` whose evaluators hand what they have to ``settle`` instead of to the coder."""

    class Settling(Evaluator):
        def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
            return super().run(GoBetween(coder, settle), first_tokens, progress)

    class Cheating(Evaluation):
        def evaluator(self, stream_tokens: int) -> Evaluator:
            honest: Any = super().evaluator(stream_tokens)
            honest.__class__ = Settling
            return honest

    return Cheating(**{name: getattr(evaluation, name) for name in Evaluation.__dataclass_fields__})
