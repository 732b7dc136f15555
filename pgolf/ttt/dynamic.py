"""Dynamic evaluation: descent on what was just scored, through the very pass that scored it, with a way back.

Formula: g the gradient of the mean cross-entropy of the chunk's targets, scaled down to norm ``clip`` where it is
longer; ``W ← W − lr·g``, then ``W ← W + pull·(W₀ − W)``, once a chunk, W₀ the artifact's weights.
Source: dynamic evaluation (Mikolov et al. 2010; Krause et al., arXiv 1709.07432, the way back to W₀ theirs; on
Transformer-XL arXiv 1904.08378), without their scaling of g by its size in training, which would have to travel in the
artifact. Beside ``pgolf.ttt.sgd`` with chunks as short it saves the second forward pass and its context: gradients go
through what was scored, no further back than the network's pass did. With ``eval=streaming`` that is the chunk alone,
and what is remembered of the text before is taken as it is (truncated backpropagation); with ``eval=sliding`` the
chunk's windows, whole.
Bytes: 2.2 kB of code. In memory three further copies of the weights that are trained, and the pass of a chunk.
Time: two forward passes of each token beside the one that scores it: at laptop size, streaming, 0.70 of what ``sgd``
adds with as short chunks and windows of 256, 0.78 with scoring (interleaved, one thread), a third of it in attention.
Products in bf16 would save nothing: of 128 rows they take as long as in fp32. The unadapted network, where it is kept,
takes one forward pass more; it runs beside the other one where there are two cores.
Measured, bits per byte of dev from a default laptop artifact, streaming, at 0.3 with a pull of 0.02: the first 24,576
tokens 1.1341 without adaptation, 1.1282 with half of the unadapted network kept; as many from the 131,072nd on 1.2852
and 1.2793. As an expert of ``mixer=tree`` beside it, 131,072 tokens: 1.1713 with the tree alone, 1.1673 with both
(1.1371 → 1.1341 and 1.2068 → 1.2017 in its halves).
4,096 tokens from the 100,000th on, nothing kept: 1.2509, where ``sgd`` has 1.2510 and the fixed network 1.2590; by
``eval=sliding``, windows of 512 whole, 1.2509 too, at 1.65 times the processor time.
Hurts: as ``sgd``. Alone it loses on the first 65,536 tokens of dev, 1.1487 for 1.1468, at the rate above: keep some of
the unadapted network.

What the weights are after a chunk has the same bits whoever predicts, and in whatever pieces: rows have the same bits
with gradients and without, for a chunk together and block by block, and a pass in pieces is made again as one when all
of it is known.

Shapes: B spans, K kept positions, N targets of a chunk, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import (
    SIGNALS,
    Batch,
    Facts,
    ModelNetwork,
    Network,
    Rows,
    TracedNetwork,
)
from pgolf.core.process import one_kernel_thread
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from pgolf.core.results import ParamSpec
from pgolf.core.threads import threaded
from pgolf.ttt.chunks import Chunks, ChunkTrained, GradientAdaptation, LaneText
from pgolf.ttt.output import Output
from pgolf.ttt.rate import Rate
from pgolf.ttt.sgd import Momentum
from pgolf.ttt.unadapted import SIGNAL


class Dynamic(GradientAdaptation):
    """See the module. A rate of 0 leaves the network as it is."""

    def __init__(
        self,
        *,
        chunk_tokens: PositiveInt,
        trains: Sequence[str],
        untie: bool,
        restart: bool,
        byte_weighted: bool,
        lr: NonNegativeFloat,
        clip: PositiveFloat | None,
        pull: Fraction,
        keep: Fraction,
        unadapted_expert: bool,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        super().__init__(
            Chunks(chunk_tokens, chunk_tokens, 1, trains, clip, byte_weighted, pull=pull, restart=restart),
            Rate(lr, final=1.0, rise=1.0, rise_share=1.0),
            Output(keep, temperature, temperature_per_token, unadapted_expert),
            untie,
        )

    def rule(self, specs: Sequence[ParamSpec]) -> Momentum:
        return Momentum(0.0)

    def trained(self, network: ModelNetwork, facts: Facts) -> Network:
        """Raises ConfigError for several lanes, whose passes would be older than the weights, and for several ranks."""
        if facts.lanes > 1:
            raise ConfigError(
                f"ttt: dynamic trains through the pass that scored, of which eval.lanes={facts.lanes} would have "
                "several, each made before the others' steps; eval.lanes=1"
            )
        if facts.ranks.world > 1:
            raise ConfigError(
                "ttt: dynamic trains through the pass that scored, which is one rank's alone; one rank, or ttt=sgd, "
                "whose windows are shared out"
            )
        if not isinstance(network, TracedNetwork):
            raise ConfigError(f"ttt: dynamic cannot follow how the rows of {type(network).__name__} came about")
        return PassTrained(network, facts, self)


@dataclass(frozen=True, slots=True)
class _Pass:
    """``logp_BKV`` leads back to the weights."""

    batch: Batch
    logp_BKV: Tensor

    def is_of(self, batch: Batch) -> bool:
        return self.batch.blocks == batch.blocks and torch.equal(self.batch.inputs_BT, batch.inputs_BT)


class PassTrained(ChunkTrained):
    """``latest``: the last pass over a whole chunk. Of a chunk that comes in pieces, ``pieces`` so far, and ``mark``,
    the past that it began with."""

    network: TracedNetwork

    def __init__(self, network: TracedNetwork, facts: Facts, how: GradientAdaptation) -> None:
        super().__init__(network, facts, how)
        self.latest: _Pass | None = None
        self.pieces: list[Batch] = []
        self.mark: Any = None
        self._follow_gradients()

    def _follow_gradients(self) -> None:
        """For good: some kernels for few rows differ where a weight wants a gradient."""
        for weight in self.weights:
            weight.requires_grad_(True)

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        output = self.how.output
        names = [name for name in wanted if name not in SIGNALS and name != SIGNAL]
        passes: list[Callable[[], Rows]] = [lambda: self._pass(batch, names)]
        if self.frozen is not None and (output.keep or SIGNAL in wanted):
            passes.append(partial(self.frozen.log_probs, batch))
        workers = self.facts.workers if self.facts.device == "cpu" else 1
        rows, *frozen = threaded(lambda run: run(), passes, workers)
        with torch.inference_mode():
            return self._mixed(rows, frozen[0].logp_BKV if frozen else None, wanted)

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        if batch.blocks[0].start == 0:
            self._lanes[0] = LaneText(batch.inputs_BT[0, -batch.keep :][:1])
        lane, stop = self._lanes[0], batch.blocks[-1].stop
        if not self._whole(batch):
            if not self.pieces:
                self.mark = self.network.mark()
            self.pieces.append(batch)
        elif self.latest is None or not self.latest.is_of(batch):
            self._pass(batch, ())
        self.network.observe(batch, tokens_BK)
        if self.frozen is not None:
            self.frozen.observe(batch, tokens_BK)
        lane.tokens = torch.cat([lane.tokens, tokens_BK.flatten()])
        self._observed += batch.keep * len(batch.blocks)
        if stop - lane.trained >= self.cadence and self._observed < self.facts.targets:
            self._learn(lane, stop - lane.trained)

    def fork(self) -> PassTrained:
        twin = super().fork()
        assert isinstance(twin, PassTrained)
        twin.latest, twin.pieces = None, list(self.pieces)
        twin._follow_gradients()
        return twin

    def _whole(self, batch: Batch) -> bool:
        """Whether it is a whole chunk, to be learnt from."""
        lane, first = self._lanes.get(0), batch.blocks[0].start
        begins = first == (lane.trained if lane is not None and first else 0)
        new = batch.blocks[-1].stop - first
        return begins and new >= self.cadence and self._observed + new < self.facts.targets

    def _pass(self, batch: Batch, names: Sequence[str]) -> Rows:
        whole = self._whole(batch)
        with torch.inference_mode(False), torch.set_grad_enabled(whole):
            rows = self.network.traced(batch, names)
        if whole:
            self.latest = _Pass(batch, rows.logp_BKV)
        return Rows(rows.logp_BKV.detach(), {name: value.detach() for name, value in rows.signals.items()})

    def _learn(self, lane: LaneText, targets: int) -> None:
        """A step on the lane's next targets."""
        first = lane.trained - lane.first
        target_N = lane.tokens[first + 1 : first + 1 + targets].clone()
        worth_N = self._worth(lane, targets)
        gradients: Sequence[Tensor] = ()
        if worth_N is not None:
            with torch.inference_mode(False), torch.enable_grad(), one_kernel_thread():
                nll_N = F.nll_loss(self._chunk_NV(), target_N, reduction="none")
                loss = (nll_N * worth_N).mean()
                gradients = torch.autograd.grad(loss, self.weights, allow_unused=True, materialize_grads=True)
        if lane.begun > lane.trained:
            self.restarted()
        if gradients:
            with torch.no_grad():
                self._stepped(self.weights, list(gradients), self.how.rate.lr)
        self._trained += 1
        lane.trained += targets
        lane.forget(lane.trained)
        self.latest, self.mark, self.pieces = None, None, []

    def _chunk_NV(self) -> Tensor:
        """Log-probabilities of the chunk's positions, with the way back to the weights."""
        if self.latest is not None:
            return self.latest.logp_BKV.flatten(0, 1)
        network, rows = self.network.since(self.mark), []
        for _, some in groupby(self.pieces, lambda piece: piece.blocks[0].shape):
            alike = list(some)
            blocks = tuple(block for piece in alike for block in piece.blocks)
            whole = Batch(blocks, torch.cat([piece.inputs_BT for piece in alike]).clone(), blocks[0].keep)
            rows.append(network.traced(whole).logp_BKV.flatten(0, 1))
        return torch.cat(rows)
