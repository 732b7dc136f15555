"""What is predicted together: blocks of positions, rounds of blocks, and the tape of what is known so far.

Position i of a lane has input x_i and target x_{i+1}. A plan cuts the stream into lanes and each lane into blocks; it
knows how long the stream is and what has been revealed of it, never what comes. Where lanes begin stands before
anything is read, or turns out on the way (``pgolf.eval.ending``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from pgolf.core.prediction import Span

# A lane's first token is the last target of the lane before, which is not known yet when it is needed.
FIRST_TOKEN_BITS = 16.0


class Tape:
    """The tokens revealed so far, lane by lane; each lane begins with one token that nobody predicts."""

    def __init__(self, first_tokens: Sequence[int], targets: Sequence[int]) -> None:
        self._lanes = [np.zeros(count + 1, dtype=np.int64) for count in targets]
        self._known = [1] * len(self._lanes)
        for lane, token in zip(self._lanes, first_tokens, strict=True):
            lane[0] = token

    def known(self, lane: int) -> int:
        """How many targets of the lane are revealed: the first position whose target is not."""
        return self._known[lane] - 1

    def append(self, lane: int, tokens_n: np.ndarray) -> None:
        """Reveal the lane's next targets. Raises ValueError beyond its end."""
        start = self._known[lane]
        if start + len(tokens_n) > len(self._lanes[lane]):
            raise ValueError(f"lane {lane} has {len(self._lanes[lane]) - 1} targets, all of them known")
        self._lanes[lane][start : start + len(tokens_n)] = tokens_n
        self._known[lane] = start + len(tokens_n)

    def revealed(self, lane: int) -> np.ndarray:
        """The lane's targets so far, int64."""
        return self._lanes[lane][1 : self._known[lane]]

    def stream(self) -> np.ndarray:
        """The targets so far of all lanes, in their order."""
        return np.concatenate([self.revealed(lane) for lane in range(len(self._lanes))])

    def fits(self, block: Span) -> bool:
        """Whether its lane goes on with it."""
        inside = 0 <= block.lane < len(self._lanes) and block.stop < len(self._lanes[block.lane])
        return inside and 0 <= block.context <= block.start == self.known(block.lane) < block.stop

    def end(self, block: Span) -> int:
        """Where it ends as far as is known: at its stop, or before it where the lane does."""
        return block.stop

    def inputs(self, block: Span) -> np.ndarray:
        """int64 [block.length]; tokens that are not revealed are 0."""
        return self._lanes[block.lane][block.context : block.stop]

    def targets(self, block: Span) -> np.ndarray:
        """int64 [block.keep]; those that are not revealed are 0."""
        return self._lanes[block.lane][block.start + 1 : block.stop + 1]


class RoundPlan(Protocol):
    """Which blocks are predicted together, for one stream; an ``eval`` option makes it (``eval.plan(facts)``).

    ``lane_starts``: for each lane the place in the stream of its first target, ascending from 0; a lane ends where the
    next begins. Where nobody knows them before: what the lanes end with. ``batch_blocks``: how many blocks go through
    the network at a time. ``side_bits``: what a decoder must be told besides artifact and code; it counts into the
    score.
    """

    @property
    def lane_starts(self) -> LaneStarts: ...
    @property
    def batch_blocks(self) -> int: ...
    @property
    def side_bits(self) -> float: ...

    def rounds(self, tape: Tape) -> Iterator[Sequence[Span]]:
        """Rounds in order; in one, blocks share the network's state, and those of one lane follow each other."""
        ...


class FoundLanes(Protocol):
    """Lanes that are found as they come; see ``pgolf.eval.ending``, which is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, lane: int) -> int: ...
    def tape(self, told: Sequence[int]) -> Tape: ...
    def cut(self, tokens_N: np.ndarray) -> Any: ...
    def places(self, address_I: np.ndarray, start_D: np.ndarray) -> np.ndarray: ...


LaneStarts = Sequence[int] | FoundLanes


def tape_of(lane_starts: LaneStarts, first_tokens: Sequence[int], targets: int) -> Tape:
    """A fresh one. Raises ValueError for other lanes than ``first_tokens`` are of."""
    if isinstance(lane_starts, Sequence):
        return Tape(first_tokens, lane_targets(lane_starts, targets))
    return lane_starts.tape(first_tokens)


def batches(blocks: Sequence[Span], most: int) -> Iterator[tuple[Span, ...]]:
    """Consecutive blocks of one shape, at most ``most`` at a time."""
    batch: list[Span] = []
    for block in blocks:
        if batch and (len(batch) == most or block.shape != batch[0].shape):
            yield tuple(batch)
            batch = []
        batch.append(block)
    if batch:
        yield tuple(batch)


def in_lockstep(blocks: Sequence[Span]) -> Iterator[tuple[Span, ...]]:
    """Consecutive blocks of one shape in as many lanes: what can be predicted token by token beside each other."""
    group: list[Span] = []
    for block in blocks:
        if group and (block.shape != group[0].shape or any(block.lane == other.lane for other in group)):
            yield tuple(group)
            group = []
        group.append(block)
    if group:
        yield tuple(group)


def lane_starts(targets: int, lanes: int) -> tuple[int, ...]:
    """Where each of ``lanes`` stretches begins, as long as each other but for one position; fewer where there are fewer
    targets."""
    lanes = min(lanes, targets)
    return tuple(lane * targets // lanes for lane in range(lanes))


class EvenLanes:
    """What plans have in common that cut the stream into ``lanes`` stretches."""

    targets: int
    lanes: int

    @property
    def lane_starts(self) -> tuple[int, ...]:
        return lane_starts(self.targets, self.lanes)

    @property
    def side_bits(self) -> float:
        return FIRST_TOKEN_BITS * (len(self.lane_starts) - 1)


def lane_targets(lane_starts: Sequence[int], targets: int) -> tuple[int, ...]:
    """How many targets each lane has, of a stream with ``targets``."""
    ends = (*lane_starts[1:], targets)
    return tuple(end - start for start, end in zip(lane_starts, ends, strict=True))
