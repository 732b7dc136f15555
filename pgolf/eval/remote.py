"""Coders of the sealed process: what they know of the stream the process that started it tells them.

Each asks for the targets of a block and gets as many as may be told. The scorer gets all and answers with prices; the
auditor is told no target at or after a place that is looked at before it has handed over that place's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pgolf.core.prediction import Span
from pgolf.eval.coder import Enough, Predicted
from pgolf.eval.frames import receive, send

if TYPE_CHECKING:
    from pgolf.eval.blocks import LaneStarts


class Line:
    """The two pipes, and the lanes that the plan has. One thread may say something while another asks."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self._questions, self._answers = questions, answers
        self._saying = Lock()

    def open(self, lane_starts: LaneStarts, side_bits: float) -> list[int]:
        """Say what the plan is; returns the lanes' first tokens, or what is told of lanes that end with one."""
        starts = list(lane_starts) if isinstance(lane_starts, Sequence) else asdict(lane_starts)  # type: ignore[call-overload]
        self.say({"ready": True, "lane_starts": starts, "side_bits": side_bits})
        return [int(token) for token in self._hear()]

    def ask(self, block: Span) -> np.ndarray:
        """The targets of the block that are told now, from its first on."""
        self.say({"ask": [block.lane, block.start, block.stop]})
        return self._hear()

    def hand_over(self, place: int, row_V: np.ndarray) -> int:
        """Give the row of the target at ``place`` of the stream and get the target."""
        self.say({"row": place}, row_V.astype("<f4").tobytes())
        return int(self._hear()[0])

    def _hear(self) -> np.ndarray:
        """Tokens, int64. Raises Enough where no more rows are wanted."""
        message, payload = receive(self._questions)
        if "enough" in message:
            raise Enough
        return np.frombuffer(payload, dtype="<u2").astype(np.int64)

    def say(self, message: dict[str, Any], payload: bytes = b"") -> None:
        with self._saying:
            send(self._answers, message, payload)


class Unheard(Line):
    """Of another rank than the first, which has nobody to talk to."""

    def __init__(self) -> None:
        """Without pipes."""

    def open(self, lane_starts: LaneStarts, side_bits: float) -> list[int]:
        """The first rank is told."""
        return []

    def say(self, message: dict[str, Any], payload: bytes = b"") -> None:
        """The first rank says the same."""


class RemoteScorer:
    """Prices every target; ``answered`` counts them."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def known(self, block: Span) -> np.ndarray:
        return self._line.ask(block)

    def wants(self, block: Span) -> bool:
        return True

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        numbers = np.stack([place_I.astype(np.float64), rows.nll_nats(token_I), rows.sums()])
        self._line.say({"scores": len(place_I)}, numbers.astype("<f8").tobytes())

    def draw(self, place: int, row_V: np.ndarray) -> int:
        raise AssertionError("a scorer is told every token")


class RemoteAuditor:
    """Hands over the rows of the places where the telling stops."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def known(self, block: Span) -> np.ndarray:
        return self._line.ask(block)

    def wants(self, block: Span) -> bool:
        """Of a block that was told whole nothing is looked at."""
        return False

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        """Nobody asks for prices here."""

    def draw(self, place: int, row_V: np.ndarray) -> int:
        return self._line.hand_over(place, row_V)
