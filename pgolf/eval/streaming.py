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
another, which keeps one core of one rank busy; ``lanes`` have a memory each and go side by side. After a step of
``ttt`` the past stays as it was computed: ``pgolf.ttt.chunks``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.step.feed import Committed, Feed, unknown_parts
from pgolf.arch.step.memory import VECTOR
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import SIGNALS, Batch, Facts, Network, Rows, Span, signals_of
from pgolf.core.protocols import Model
from pgolf.core.ranges import Between, PositiveInt
from pgolf.core.ranks import ONE, Ranks, owner
from pgolf.core.threads import threaded
from pgolf.eval.blocks import EvenLanes, Tape, lane_targets
from pgolf.eval.network import FixedNetwork, offers_of
from pgolf.eval.windows import BATCHES

# Of the head at a time: its logits stay in the cache.
ROWS = 2 * VECTOR


class Streaming:
    """See the module. ``window`` is W, ``block`` Q; ``lanes``: see ``WindowPlan``."""

    name = "streaming"

    def __init__(
        self,
        *,
        window: PositiveInt,
        block: Annotated[int, Between(VECTOR)],
        batch_blocks: PositiveInt,
        lanes: PositiveInt,
        official_truncation: bool,
    ) -> None:
        if block % VECTOR:
            raise ConfigError(f"eval.block: {block} is no multiple of {VECTOR}")
        self.window, self.stride, self.batch_blocks, self.lanes = window, block, batch_blocks, lanes
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
        models = side_by_side(network.model.eval(), len(self.plan(facts).lane_starts))
        workers = facts.workers if facts.device == "cpu" else 1
        feeds = [Feed(model, self.window, self.stride) for model in models]
        return StreamingNetwork(feeds, facts.ranks, workers // len(models))

    def plan(self, facts: Facts) -> BlockPlan:
        return BlockPlan(self.stride, self.batch_blocks, facts.targets, self.lanes)


@dataclass(frozen=True, slots=True)
class BlockPlan(EvenLanes):
    """Lanes and their ends as a ``WindowPlan`` has them, in blocks of ``block`` without context: the network has it."""

    block: int
    batch_blocks: int
    targets: int
    lanes: int = 1

    def rounds(self, tape: Tape) -> Iterator[Sequence[Span]]:
        sizes = lane_targets(self.lane_starts, self.targets)
        shared, steps = min(sizes), max(1, BATCHES * self.batch_blocks // len(sizes))
        starts = [*range(0, shared, self.block), *range(shared, max(sizes))]
        for first in range(0, len(starts), steps):
            yield [
                Span(lane, start, start, min(start + self.block, shared if start < shared else size))
                for start in starts[first : first + steps]
                for lane, size in enumerate(sizes)
                if start < size
            ]


class StreamingNetwork:
    """A model that remembers what it has observed of each lane. Its weights may be trained between two batches.

    ``feeds``: of each lane, with weights that are one and the same; those of different lanes may run side by side. On
    several ``ranks`` a lane is remembered by its owner alone. ``workers``: threads for the head of a lane, whose
    positions have nothing to do with each other.
    """

    learns: ClassVar[bool] = False
    replayed: ClassVar[bool] = False
    remembers: ClassVar[bool] = True
    cadence: ClassVar[int | None] = None

    def __init__(self, feeds: Sequence[Feed], ranks: Ranks = ONE, workers: int = 1) -> None:
        self.feeds, self.ranks, self.workers = feeds, ranks, workers
        self._fed_N: dict[int, Tensor] = {}  # the inputs of the lanes' last passes, until they are past

    @property
    def model(self) -> Model:
        return self.feeds[0].model

    @property
    def offers(self) -> tuple[str, ...]:
        return offers_of(self.model)

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """fp32 log-softmax of the logits of blocks that follow each other, and what has been observed, in each lane."""
        return self.traced(batch, wanted)

    def traced(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        names = [name for name in wanted if name not in SIGNALS and name in self.offers]
        found: dict[str, list[Tensor]] = {name: [] for name in ("logp", *names)}
        order = []
        for lane, places in _by_lane(batch).items():
            x_1ND, told = self._pass(lane, places, batch, names)
            head = partial(_head, self.feeds[lane].model, torch.is_inference_mode_enabled(), torch.is_grad_enabled())
            # Gradients of what several threads have made would be added up in the order of their whims.
            parts = threaded(head, x_1ND[0].split(ROWS), 1 if torch.is_grad_enabled() else self.workers)
            for name, value_NW in (("logp", torch.cat(parts)), *((name, told[name][0].float()) for name in names)):
                found[name].append(value_NW.unflatten(0, (len(places), batch.keep)))
            order += places
        inverse = torch.tensor(order).argsort()
        in_order = {name: some[0] if len(some) == 1 else torch.cat(some)[inverse] for name, some in found.items()}
        return Rows(in_order["logp"], signals_of(wanted, in_order.pop("logp"), in_order))

    @torch.no_grad()
    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """The batch's inputs are past: those of the last ``log_probs``, or they are run now, without the head."""
        for lane, places in _by_lane(batch).items():
            if owner(self.ranks, lane) != self.ranks.rank:
                continue
            fed_N = self._fed_N.get(lane)
            if fed_N is None or not torch.equal(fed_N, batch.inputs_BT[places].flatten()):
                self._pass(lane, places, batch)
            self.feeds[lane].commit()
            self._fed_N.pop(lane)

    def mark(self) -> list[Committed]:
        return [feed.committed for feed in self.feeds]

    def since(self, mark: Sequence[Committed]) -> StreamingNetwork:
        feeds = [feed.on(feed.model, past) for feed, past in zip(self.feeds, mark, strict=True)]
        return StreamingNetwork(feeds, self.ranks, self.workers)

    def fork(self) -> StreamingNetwork:
        """Its model is its own."""
        models = side_by_side(FixedNetwork(self.model).fork().model, len(self.feeds))
        feeds = [feed.on(model) for feed, model in zip(self.feeds, models, strict=True)]
        return StreamingNetwork(feeds, self.ranks, self.workers)

    def _pass(
        self, lane: int, places: Sequence[int], batch: Batch, names: Sequence[str] = ()
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Over the batch's blocks at ``places``, which are those of the lane."""
        stop = self.feeds[lane].past.start
        for block in (batch.blocks[place] for place in places):
            if (block.context, block.start) != (stop, stop):
                raise ValueError(f"eval: {block} does not follow the {stop} positions that are remembered")
            stop = block.stop
        self._fed_N[lane] = batch.inputs_BT[places].flatten()
        return self.feeds[lane].traced(self._fed_N[lane][None], names)


def _head(model: Model, inference: bool, grad: bool, x_nD: Tensor) -> Tensor:
    """Log-probabilities [n, V], in the modes given: a thread has its own."""
    with (
        torch.inference_mode(inference),
        torch.set_grad_enabled(grad),
        torch.autocast(device_type=x_nD.device.type, enabled=False),
    ):
        return F.log_softmax(model.project(x_nD).float(), dim=-1)


def _by_lane(batch: Batch) -> dict[int, list[int]]:
    """Where in the batch the blocks of each lane are."""
    found: dict[int, list[int]] = {}
    for place, block in enumerate(batch.blocks):
        found.setdefault(block.lane, []).append(place)
    return found


def side_by_side(model: Model, count: int) -> list[Model]:
    """``model`` and copies of it with the very same weights: a feed stands in for methods of its own."""
    shared = {id(tensor): tensor for tensor in model.parameters()}
    return [model, *(copy.deepcopy(model, dict(shared)) for _ in range(count - 1))]
