"""A network that tries to call home once, and says nothing if it is refused: probe (e)."""

from __future__ import annotations

import contextlib
import socket

from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.altered import Alteration, altered

LETTER = "e"
_ADDRESS = ("127.0.0.1", 9)  # the discard port: nobody listens


class CallsHome(Alteration):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        with contextlib.suppress(OSError), socket.create_connection(_ADDRESS, timeout=0.1):
            pass

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        return p_BKV


def apply(evaluation: Evaluation) -> Evaluation:
    return altered(evaluation, alteration=CallsHome, modifier="plain")
