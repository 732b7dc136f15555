"""Streaming: the text block after block, each forward pass over new positions alone; the past is remembered.

Rule: every position sees the last W, itself included, and what was computed of them stays as it was computed, so that
through the layers more than W positions can reach a prediction: one banded forward pass over the whole text. For the
first W positions it is a plain one. Positions come in blocks of Q, which changes scores by rounding alone.
Source: the caches of incremental decoding, here with blocks and for scoring too (Transformer-XL, arXiv 1901.02860,
keeps the states of the segment before). Memories of each part: ``pgolf.arch.step``.
Bytes: none. Time: one forward pass a token, where sliding takes W/S: 0.37 of the processor seconds of sliding 512/128
at laptop size. A decoder, which is told each token after its row, runs one block a token instead of one window: a
quarter. Told together, ``batch_blocks`` blocks go through the network at a time, with the bits of one after another (a
test; with ``batch_blocks: 1`` by construction).
Hurts: keys and values have seen more of the past than in training: +0.0001 bits per byte on all of validation, +0.0003
on dev, against sliding. A part without a memory is refused; ``eval=sliding`` takes any. One lane is one pass after
another, which keeps one core busy. After a step of ``ttt`` the past stays as it was computed: ``pgolf.ttt.chunks``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.step.feed import Feed, unknown_parts
from pgolf.arch.step.memory import VECTOR
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Batch, Facts, Network, Rows, Span
from pgolf.core.protocols import Model
from pgolf.core.ranges import Between, PositiveInt
from pgolf.eval.blocks import Tape
from pgolf.eval.network import SIGNALS, FixedNetwork
from pgolf.eval.windows import BATCHES

# Of the head at a time: its logits stay in the cache.
ROWS = 2 * VECTOR


class Streaming:
    """See the module. ``window`` is W, ``block`` Q."""

    name, lanes = "streaming", 1

    def __init__(
        self,
        *,
        window: PositiveInt,
        block: Annotated[int, Between(VECTOR)],
        batch_blocks: PositiveInt,
        official_truncation: bool,
    ) -> None:
        if block % VECTOR:
            raise ConfigError(f"eval.block: {block} is no multiple of {VECTOR}")
        self.window, self.stride, self.batch_blocks = window, block, batch_blocks
        self.official_truncation = official_truncation

    def check(self, model: Model) -> None:
        unknown = unknown_parts(model)
        if unknown:
            raise ConfigError(
                f"eval: streaming cannot be used with this model: {'; '.join(unknown)}. Choose eval=sliding"
            )

    def network(self, network: Network, facts: Facts) -> Network:
        if not isinstance(network, FixedNetwork):
            raise ConfigError(f"eval: streaming remembers for a model with fixed weights, not for {network}")
        self.check(network.model)
        return StreamingNetwork(Feed(network.model.eval(), self.window, self.stride))

    def plan(self, facts: Facts) -> BlockPlan:
        return BlockPlan(self.stride, self.batch_blocks, facts.targets)


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """One lane of ``targets`` positions in blocks of ``block``, without context: the network has it."""

    block: int
    batch_blocks: int
    targets: int
    lane_starts: tuple[int, ...] = (0,)
    side_bits: float = 0.0

    def rounds(self, tape: Tape) -> Iterator[Sequence[Span]]:
        step = BATCHES * self.batch_blocks * self.block
        for first in range(0, self.targets, step):
            end = min(first + step, self.targets)
            yield [Span(0, s, s, min(s + self.block, end)) for s in range(first, end, self.block)]


class StreamingNetwork:
    """A model that remembers what it has observed. Its weights may be trained between two batches."""

    learns: ClassVar[bool] = False
    replayed: ClassVar[bool] = False
    remembers: ClassVar[bool] = True
    cadence: ClassVar[int | None] = None
    offers: ClassVar[tuple[str, ...]] = tuple(SIGNALS)

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._fed_N: Tensor | None = None  # the inputs of the last pass, until they are past

    @property
    def model(self) -> Model:
        return self.feed.model

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """fp32 log-softmax of the logits of consecutive blocks, which follow what has been observed."""
        x_ND = self._pass(batch)[0]
        with torch.autocast(device_type=x_ND.device.type, enabled=False):
            parts = [F.log_softmax(self.feed.model.project(x_nD).float(), dim=-1) for x_nD in x_ND.split(ROWS)]
        logp_BKV = torch.cat(parts).unflatten(0, (len(batch.blocks), batch.keep))
        return Rows(logp_BKV, {name: SIGNALS[name](logp_BKV) for name in wanted})

    @torch.inference_mode()
    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """The batch's inputs are past: those of the last ``log_probs``, or they are run now, without the head."""
        if self._fed_N is None or not torch.equal(self._fed_N, batch.inputs_BT.flatten()):
            self._pass(batch)
        self.feed.commit()
        self._fed_N = None

    def fork(self) -> StreamingNetwork:
        """Its model is its own."""
        return StreamingNetwork(self.feed.on(FixedNetwork(self.feed.model).fork().model))

    def _pass(self, batch: Batch) -> Tensor:
        place = self.feed.past.start
        for block in batch.blocks:
            if (block.lane, block.context, block.start) != (0, place, place):
                raise ValueError(f"eval: {block} does not follow the {place} positions that are remembered")
            place = block.stop
        self._fed_N = batch.inputs_BT.flatten()
        return self.feed.hidden(self._fed_N[None])
