"""An expert that tries to call home once, and says nothing if it is refused: probe (f)."""

from __future__ import annotations

import contextlib
import dataclasses
import socket

from pgolf.core.protocols import Expert
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.wrapped import WrappedExpert

LETTER = "f"
_ADDRESS = ("127.0.0.1", 9)  # the discard port: nobody listens


class CallsHome(WrappedExpert):
    def __init__(self, expert: Expert) -> None:
        super().__init__(expert)
        with contextlib.suppress(OSError), socket.create_connection(_ADDRESS, timeout=0.1):
            pass


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, network=CallsHome(evaluation.network))
