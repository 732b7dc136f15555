"""A coder: the only one who holds targets. One loop scores, audits, encodes, decodes and samples, by its coder.

Shapes: I positions in the order of prediction, K of one block, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Span

if TYPE_CHECKING:
    from pgolf.eval.blocks import FoundLanes, LaneStarts

# What a coder knows that can tell no token.
NOTHING = np.zeros(0, dtype=np.int64)


class Enough(Exception):
    """A coder has what it came for: the loop ends here."""


class Coder(Protocol):
    """Any of its methods may raise ``Enough``."""

    def known(self, block: Span) -> np.ndarray:
        """The targets of the block that may be told now, from its first on: int64, at most ``block.keep``. What follows
        a token that ends the lane is not looked at."""
        ...

    def wants(self, block: Span) -> bool:
        """Whether rows of a block that was told whole are of use; others are not made, unless something learns. It
        follows from the block."""
        ...

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        """Price or encode the tokens of blocks that were told whole. ``place_I``: where in the stream they lie; of
        lanes that end with a token, their addresses (``pgolf.eval.ending``)."""
        ...

    def draw(self, place: int, row_V: np.ndarray) -> int:
        """The token of a row that ``known`` stopped before: decoded, sampled, or told once the row is handed over."""
        ...


class Informed:
    """What is common to coders that know the whole stream ``tokens_N``; a lane begins at each of ``lane_starts``.

    ``first_tokens``: of the lanes, which nobody predicts; of lanes that end with a token, what is told of them for
    ``side_bits`` more than the plan has.
    """

    def __init__(self, tokens_N: np.ndarray, lane_starts: LaneStarts = (0,)) -> None:
        self._tokens_N = np.asarray(tokens_N).astype(np.int64)
        self._ending: FoundLanes | None = None
        if isinstance(lane_starts, Sequence):
            self._lane_starts, self.side_bits = np.array(lane_starts), 0.0
            self.first_tokens = self._tokens_N[self._lane_starts].tolist()
        else:
            self._ending, cut = lane_starts, lane_starts.cut(self._tokens_N)
            self._lane_starts, self.first_tokens, self.side_bits = cut.start_D, list(cut.told), cut.side_bits

    def in_stream(self, place_I: np.ndarray) -> np.ndarray:
        """Where the loop's places lie."""
        return place_I if self._ending is None else self._ending.places(place_I, self._lane_starts)

    def known(self, block: Span) -> np.ndarray:
        first = self._lane_starts[block.lane] + 1
        return self._tokens_N[first + block.start : first + block.stop]

    def wants(self, block: Span) -> bool:
        return True

    def draw(self, place: int, row_V: np.ndarray) -> int:
        raise AssertionError("it was told every token")


class Counted:
    """``coder``; ``told`` hears of each token that is drawn how many there were. A plan's round may hold thousands."""

    def __init__(self, coder: Coder, told: Callable[[int], None]) -> None:
        self._coder, self._told, self._drawn = coder, told, 0
        self.known, self.wants, self.settle = coder.known, coder.wants, coder.settle

    def draw(self, place: int, row_V: np.ndarray) -> int:
        token = self._coder.draw(place, row_V)
        self._drawn += 1
        self._told(self._drawn)
        return token


class Predicted(Protocol):
    """Rows of probabilities for I targets, or what is known of them."""

    def nll_nats(self, token_I: np.ndarray) -> np.ndarray:
        """float64 [I]."""
        ...

    def sums(self) -> np.ndarray:
        """Of each row, float64 [I]; NaN where nobody has made it."""
        ...

    def row(self, index: int) -> np.ndarray:
        """float32 [V]; the same bits however many rows there are."""
        ...


class LogRows:
    """Rows as the network alone gives them, log-probabilities on its device."""

    def __init__(self, logp_IV: Tensor) -> None:
        self._logp_IV = logp_IV

    def nll_nats(self, token_I: np.ndarray) -> np.ndarray:
        index_I1 = torch.from_numpy(token_I).to(self._logp_IV.device).unsqueeze(-1)
        return -self._logp_IV.gather(-1, index_I1).squeeze(-1).double().cpu().numpy()

    def sums(self) -> np.ndarray:
        return self._logp_IV.exp().sum(-1).double().cpu().numpy()  # in float64 it would take ten times as long

    def row(self, index: int) -> np.ndarray:
        return self._logp_IV[index].exp().cpu().numpy()


class PlainRows:
    """Rows as stages write them: float32 [I, V], strictly positive."""

    def __init__(self, row_IV: np.ndarray) -> None:
        self._row_IV = row_IV

    def nll_nats(self, token_I: np.ndarray) -> np.ndarray:
        return -np.log(self._row_IV[np.arange(len(token_I)), token_I].astype(np.float64))

    def sums(self) -> np.ndarray:
        return self._row_IV.sum(-1, dtype=np.float64)

    def row(self, index: int) -> np.ndarray:
        return self._row_IV[index]


class Prices:
    """Of the targets alone: ``logp_I`` in nats, and ``sum_I`` of their rows, None where no whole ones were made."""

    def __init__(self, logp_I: np.ndarray, sum_I: np.ndarray | None = None) -> None:
        self._logp_I, self._sum_I = logp_I, sum_I

    def nll_nats(self, token_I: np.ndarray) -> np.ndarray:
        return -self._logp_I.astype(np.float64)

    def sums(self) -> np.ndarray:
        return np.full(len(self._logp_I), np.nan) if self._sum_I is None else self._sum_I.astype(np.float64)

    def row(self, index: int) -> np.ndarray:
        raise AssertionError("rows are made for whoever draws")
