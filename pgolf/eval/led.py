"""Coders of several ranks as one: the first one's knows and draws for all; what each has been shown is compared."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

import numpy as np
import torch

from pgolf.core.errors import RanksDisagree
from pgolf.core.prediction import Span
from pgolf.core.ranks import Ranks
from pgolf.eval.coder import Coder, Enough, Predicted

# In place of an answer: no token is below 0.
_ENOUGH = np.array([-1])


class Led:
    """``coder``: each rank has one. All are shown the prices, and say alike which blocks they want; tokens are only the
    first one's to tell.

    Prices are made beside the next rows, by another thread, so that nothing is said of them there: where a coder has
    enough of them, that is heard when it is next asked.
    """

    def __init__(self, coder: Coder, ranks: Ranks) -> None:
        self._coder, self._ranks = coder, ranks
        self._has_enough = False
        self._digest = hashlib.sha256()

    def known(self, block: Span) -> np.ndarray:
        return self._heard(lambda: self._coder.known(block))

    def wants(self, block: Span) -> bool:
        return self._coder.wants(block)

    def draw(self, place: int, row_V: np.ndarray) -> int:
        return int(self._heard(lambda: np.array([self._coder.draw(place, row_V)]))[0])

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        self._digest.update(rows.nll_nats(token_I).tobytes())
        if not self._has_enough:
            try:
                self._coder.settle(place_I, rows, token_I)
            except Enough:
                self._has_enough = True

    def agree(self) -> None:
        """Raises RanksDisagree where not all have priced alike, to the bit."""
        own = torch.frombuffer(bytearray(self._digest.digest()), dtype=torch.uint8).float()
        digest_R = [theirs for (theirs,) in self._ranks.gathered([own])]
        others = [rank for rank, theirs in enumerate(digest_R) if not torch.equal(theirs.cpu(), digest_R[0].cpu())]
        if others:
            raise RanksDisagree(
                f"ranks: of {self._ranks.world} processes {', '.join(map(str, others))} priced the stream otherwise "
                "than 0; what each computes from the same numbers must have the same bits"
            )

    def _heard(self, ask: Callable[[], np.ndarray]) -> np.ndarray:
        """Raises Enough on all ranks where the first one's coder does."""
        said = _ENOUGH
        if self._ranks.rank == 0 and not self._has_enough:
            with contextlib.suppress(Enough):
                said = ask()
        said = self._ranks.told(said)
        if len(said) and said[0] < 0:
            raise Enough
        return said
