"""Descent as ``sgd``, and before each chunk's own steps those on a few chunks from further back.

Formula: as ``sgd``; when the n-th chunk (from 0) has been scored, first ``replay`` chunks of those before it take
``epochs`` steps each at its rate, numbers ``⌊n·frac((n·replay + j)·φ)⌋``, j = 1 … ``replay``, φ the golden ratio:
spread evenly over all that was scored, and the same for whoever has the text so far. Then its own.
How much is replayed is a number of chunks and no time: a decoder that stopped by its clock would have other weights.
What an evaluation has seconds for is said before each run (``pgolf.eval.rehearsal``) and by ``dry_run=true``.
Source: replay of experience (Lin 1992); none of the published evaluations has it.
Bytes: 0.8 kB of code. In memory also all of the text so far, 8 bytes for each token and as much again for contexts.
Time: ``1 + replay`` times the steps of ``sgd``.
Hurts: what is learnt here is of use for the document at hand, and other documents take that back (a sketch found
nothing in it: design evaluation §8).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, ModelNetwork, Network
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveFraction, PositiveInt
from pgolf.ttt.chunks import ChunkTrained, LaneText
from pgolf.ttt.sgd import SGD

GOLDEN = (math.sqrt(5) - 1) / 2


class Replay(SGD):
    """See the module."""

    def __init__(
        self,
        *,
        replay: NonNegativeInt,
        chunk_tokens: PositiveInt,
        window: PositiveInt,
        epochs: NonNegativeInt,
        trains: Sequence[str],
        untie: bool,
        restart: bool,
        byte_weighted: bool,
        lr: NonNegativeFloat,
        final_lr: Fraction,
        rise: PositiveFloat,
        rise_share: PositiveFraction,
        momentum: Fraction,
        clip: PositiveFloat | None,
        pull: Fraction,
        average: Fraction | None,
        keep: Fraction,
        unadapted_expert: bool,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        """Raises ConfigError where other documents are to be forgotten."""
        if restart:
            raise ConfigError("ttt.restart: forgets the documents before, which replay goes back to; false")
        super().__init__(
            chunk_tokens=chunk_tokens,
            window=window,
            epochs=epochs,
            trains=trains,
            untie=untie,
            restart=restart,
            byte_weighted=byte_weighted,
            lr=lr,
            final_lr=final_lr,
            rise=rise,
            rise_share=rise_share,
            momentum=momentum,
            clip=clip,
            pull=pull,
            average=average,
            keep=keep,
            unadapted_expert=unadapted_expert,
            temperature=temperature,
            temperature_per_token=temperature_per_token,
        )
        self.replay = replay

    def trained(self, network: ModelNetwork, facts: Facts) -> Network:
        return ReplayTrained(network, facts, self)


class ReplayTrained(ChunkTrained):
    """``past``: the chunks so far with their contexts, and what their targets count."""

    how: Replay

    def __init__(self, network: ModelNetwork, facts: Facts, how: Replay) -> None:
        super().__init__(network, facts, how)
        self.past: list[tuple[LaneText, Tensor]] = []

    def fork(self) -> ReplayTrained:
        twin = super().fork()
        assert isinstance(twin, ReplayTrained)
        twin.past = list(self.past)
        return twin

    def _train(self, lane: LaneText, worth_N: Tensor) -> None:
        for number in chosen(len(self.past), self.how.replay):
            super()._train(*self.past[number])
        super()._train(lane, worth_N)
        kept = copy.copy(lane)
        kept.forget(max(lane.first, lane.trained + self.cadence - max(self.chunks.window, self.cadence)))
        kept.tokens = kept.tokens[: lane.trained + self.cadence + 1 - kept.first].clone()
        self.past.append((kept, worth_N))


def chosen(chunk: int, replay: int) -> Iterator[int]:
    """Which chunks come again before that one's own steps."""
    for j in range(1, replay + 1 if chunk else 1):
        yield int(chunk * ((chunk * replay + j) * GOLDEN % 1.0))
