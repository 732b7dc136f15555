"""Which window scores which position: the one rule behind ``sliding`` and ``non_overlapping``.

Position i (0..T'-1 with T' = N-1) has input x_i and target x_{i+1}. Windows of length L start at
w = 0, S, 2S, … while ``w + L - S < T'``. The first scores all its positions, every later one its last S; the
last one is clipped at T' and scores only what is left. So every position is scored exactly once, with at
least L-S positions of context after the first window, and none is dropped (spec data §5, decisions 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Span
from pgolf.core.protocols import Model, Positioned
from pgolf.eval.blocks import EvenLanes, Tape, lane_targets

# So many batches make a round, to be scored side by side; it changes no score, as nothing learns inside a round.
BATCHES = 8


def check_lengths(place: str, window: int, stride: int) -> None:
    """Raise ConfigError for a stride that leaves positions out."""
    if stride > window:
        raise ConfigError(
            f"{place}.stride: {stride} is more than the window of {window} positions, and leaves some out"
        )


def check_positions(model: Model, window: int) -> None:
    """Raise ConfigError for an evaluation's window with positions that the model has not learnt."""
    for module in model.modules():
        if isinstance(module, Positioned) and (most := module.most_positions) is not None and window > most:
            raise ConfigError(
                f"eval.window: {window} positions, and rotary attention has learnt {most} (arch.attention.rope_limit): "
                f"beyond them it is worse; no more of them (eval.window={most}), or a model of "
                "arch.attention.rope_ntk=true, or of rope_limit=null where that is wanted"
            )


@dataclass(frozen=True, slots=True)
class WindowPlan(EvenLanes):
    """The rule above in each of ``lanes`` stretches of the stream, as long as each other but for one position.

    A lane begins without context, and its first token with a price of its own; a decoder goes forward in all lanes at
    a time, position by position: where lanes are longer than others, that position is a block of its own.
    """

    window: int
    stride: int
    batch_blocks: int
    targets: int
    lanes: int = 1

    def rounds(self, tape: Tape) -> Iterator[Sequence[Span]]:
        sizes = lane_targets(self.lane_starts, self.targets)
        shared = min(sizes)
        lanes = [windows(size, self.window, self.stride, lane, shared) for lane, size in enumerate(sizes)]
        blocks: list[Span] = []
        for step in zip_longest(*lanes):
            blocks += [block for block in step if block is not None]
            if len(blocks) >= BATCHES * self.batch_blocks:
                yield blocks
                blocks = []
        if blocks:
            yield blocks


def windows(targets: int, window: int, stride: int, lane: int = 0, shared: int | None = None) -> Iterator[Span]:
    """The windows of a lane, by the rule above; one ends where its first ``shared`` targets do."""
    start = 0
    while start < targets:
        context = max(0, start - (window - stride))
        end = targets if shared is None or start >= shared else shared
        stop = min(context + window if start == 0 else start + stride, end)
        yield Span(lane, context, start, stop)
        start = stop


def official_length(tokens: int, window: int) -> int:
    """Tokens left by the published truncation, ``⌊(N-1)/window⌋·window + 1`` (only for ``metric=table``)."""
    return (tokens - 1) // window * window + 1
