"""Lanes that end with a token, wherever it comes: documents. In place of a plan's ``lane_starts``. No option.

A document's targets are what follows its BOS, up to and including the next one's, so that every BOS is paid for once
and each lane begins with a token that nobody has to be told. Who knows the stream finds where lanes begin; who does not
finds their ends as they come, and can neither see how many there will be nor where the stream's last one ends, which no
token ends. One lane after the other, those two follow from the stream's length. Several beside each other they have to
be told, and who tells them charges for it: two numbers of ⌈log₂ T⌉ bits for T targets. Longest first, the order is told
besides, which takes ⌈log₂ D!⌉ bits for D documents; how long they are is found as they come. Where some lengths alone
are adapted to, it is told of each lane whether its own is one of these, for a bit each, and how many lanes there are.

Shapes: N tokens of the stream, D documents, I places, n targets of a lane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgolf.core.prediction import Span
from pgolf.eval.blocks import Tape

_DIGIT = 1 << 16  # what is told are tokens, or numbers as large as they may be
_FLAGS = 14  # to a number: two bytes of a coded file


@dataclass(frozen=True, slots=True)
class Cut:
    """``start_D, size_D``: where in the stream each lane has its first target, and how many; ``told``: see above, for
    so many ``side_bits``."""

    start_D: np.ndarray
    size_D: np.ndarray
    told: tuple[int, ...]
    side_bits: float


@dataclass(frozen=True, slots=True)
class Ending:
    """``beside``: lanes at a time. The address of a target is that of its lane and its position there: where in the
    stream it lies is not known while it is predicted. ``within``: the least and the most tokens, those at both ends
    included, of a lane that is adapted to; None: all are, and nobody is told."""

    token: int
    targets: int
    beside: int
    longest_first: bool = False
    within: tuple[int, int] | None = None

    def __len__(self) -> int:
        return self.beside

    def __getitem__(self, lane: int) -> int:
        """The address of the lane's first target."""
        return lane * self.targets

    @property
    def counted(self) -> bool:
        """Whether anything is told."""
        return self.beside > 1 or self.longest_first or self.within is not None

    def cut(self, tokens_N: np.ndarray) -> Cut:
        """By who knows the stream."""
        start_D = np.concatenate([[0], 1 + np.flatnonzero(tokens_N[1:-1] == self.token)])
        size_D = np.diff(start_D, append=self.targets)
        told = [len(start_D), int(size_D[-1])] if self.counted else []
        if self.longest_first:
            order_D = np.argsort(-size_D, kind="stable")
            start_D, size_D, told = start_D[order_D], size_D[order_D], [*told, *order_D.tolist()]
        digits = [digit for number in told for digit in divmod(number, _DIGIT)]
        if self.within is not None:
            least, most = self.within
            digits += _packed(((size_D + 1 < least) | (size_D + 1 > most)).tolist())
        return Cut(start_D, size_D, tuple(digits), self._bits(len(start_D)))

    def places(self, address_I: np.ndarray, start_D: np.ndarray) -> np.ndarray:
        """Where in the stream the targets lie, by who knows where the lanes begin. Raises IndexError."""
        lane_I, position_I = np.divmod(address_I, self.targets)
        return start_D[lane_I] + position_I

    def tape(self, told: Sequence[int]) -> EndingTape:
        """By who does not; one after the other and told nothing, they come as they come. Raises ValueError for what
        nobody has told."""
        if not told and self.beside == 1:
            return EndingTape(self, [])
        count = told[0] * _DIGIT + told[1] if len(told) > 1 else 0
        digits = 2 * (2 * self.counted + count * self.longest_first)
        flags = -(-count // _FLAGS) if self.within is not None else 0
        numbers = [high * _DIGIT + low for high, low in zip(told[:digits:2], told[1:digits:2], strict=False)]
        plain_D = [flag >> place & 1 > 0 for flag in told[digits:] for place in range(_FLAGS)][:count]
        if (
            len(told) != digits + flags
            or not all(0 < number <= self.targets for number in numbers[:2])
            or sorted(numbers[2:]) != list(range(count * self.longest_first))
            or list(told[digits:]) != _packed(plain_D)
        ):
            raise ValueError(f"{len(told)} numbers were told of lanes that end with token {self.token}")
        return EndingTape(self, numbers, plain_D)

    def _bits(self, documents: int) -> float:
        numbers = 2 * (self.targets - 1).bit_length() if self.counted else 0
        order = math.ceil(math.lgamma(documents + 1) / math.log(2)) if self.longest_first else 0
        return float(numbers + order + documents * (self.within is not None))


def _packed(flag_D: Sequence[bool]) -> list[int]:
    """Flags as numbers, the first one lowest."""
    some = (flag_D[first : first + _FLAGS] for first in range(0, len(flag_D), _FLAGS))
    return [sum(flag << place for place, flag in enumerate(flags)) for flags in some]


class EndingTape(Tape):
    """Lanes are there once they have begun. ``order``: which of the stream's documents each is; empty: in turn.
    ``plain_D``: which of the lanes are not adapted to; empty: none."""

    def __init__(self, how: Ending, numbers: Sequence[int], plain_D: Sequence[bool] = ()) -> None:
        super().__init__([], [])
        self.how, self.order, self._plain_D = how, list(numbers[2:]), plain_D
        self.count, self.last = numbers[:2] if numbers else (how.targets, 0)
        self._size: list[int] = []  # of each lane; before its end is found, no more than that
        self._left = how.targets

    def begin(self, lane: int) -> bool:
        """Whether the stream has that lane, the next one; from now on it can be predicted."""
        if lane >= self.count or not self._left:
            return False
        if lane != len(self._size):
            raise ValueError(f"lane {lane} begins after {len(self._size)}")
        unended = (self.order[lane] if self.order else lane) == self.count - 1
        self._size.append(self.last if self.last and unended else self._left)
        self._lanes.append(np.array([self.how.token], dtype=np.int64))
        self._known.append(1)
        return True

    def plain(self, lane: int) -> bool:
        """Whether it is not adapted to."""
        return bool(self._plain_D) and self._plain_D[lane]

    def goes_on(self, lane: int) -> bool:
        return self.known(lane) < self._size[lane]

    def append(self, lane: int, tokens_n: np.ndarray) -> None:
        """Reveal the lane's next targets, as many of these as are the lane's."""
        tokens_n = tokens_n[: self._size[lane] - self.known(lane)]
        ends = np.flatnonzero(tokens_n == self.how.token)
        if len(ends):
            tokens_n = tokens_n[: ends[0] + 1]
            self._size[lane] = self.known(lane) + len(tokens_n)
        self._left -= len(tokens_n)
        if self._left < 0:
            raise ValueError(f"more than the {self.how.targets} targets that the stream has")
        self._reach(lane, self._known[lane] + len(tokens_n))
        super().append(lane, tokens_n)

    def inputs(self, block: Span) -> np.ndarray:
        self._reach(block.lane, block.stop)
        return super().inputs(block)

    def targets(self, block: Span) -> np.ndarray:
        self._reach(block.lane, block.stop + 1)
        return super().targets(block)

    def stream(self) -> np.ndarray:
        """The targets of all documents, as they lie in the stream. Raises ValueError where some did not come."""
        if len(self._size) < len(self.order):
            raise ValueError(f"{len(self._size)} lanes came where the order of {len(self.order)} was told")
        lanes = range(len(self._size)) if not self.order else np.argsort(self.order)
        return np.concatenate([self.revealed(lane) for lane in lanes])

    def fits(self, block: Span) -> bool:
        inside = 0 <= block.lane < len(self._size) and self.goes_on(block.lane)
        return inside and 0 <= block.context <= block.start == self.known(block.lane) < block.stop

    def end(self, block: Span) -> int:
        return min(block.stop, self._size[block.lane])

    def _reach(self, lane: int, tokens: int) -> None:
        """Room for so many of the lane's tokens."""
        missing = tokens - len(self._lanes[lane])
        if missing > 0:
            room_n = np.zeros(missing + len(self._lanes[lane]), dtype=np.int64)
            self._lanes[lane] = np.concatenate([self._lanes[lane], room_n])
