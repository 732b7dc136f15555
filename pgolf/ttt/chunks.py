"""Training on chunks of what has been scored: what adaptation by gradients has in common, whatever its rule. No option.

Each lane is cut into chunks of ``chunk_tokens``. As soon as all targets of one have been scored, the weights take
``epochs`` steps on it, and then serve everything that follows; after the stream's last target nothing is left to learn
for. A step's loss is the mean cross-entropy of all targets of the chunk, each once, in windows side by side; a chunk
shorter than the window is trained on with the tokens before it as context. Dropout and auxiliary losses are off.
Everything that ``Chunks`` offers beyond that is causal, and a code length as any other.

A network that remembers what it has computed (``eval=streaming``) keeps it through a step: keys, values and states that
older weights have made serve on until they leave its window. That is a code length as any other, free, and within
rounding of what computing them anew would give: 40,000 tokens of dev from a default laptop artifact, 1.2502 bits per
byte in 24 processor seconds, and 1.2501 in 36 with the last window run again after each step (sliding: 1.2500 in 28).

A window's gradients are computed on one kernel thread and those of several windows added up in their order. So the
weights have the same bits whoever predicts, in whatever batches, with however many workers. On several ranks each takes
its share of a chunk's windows and the sum goes round; the step is everyone's own. A chunk of one window is then no
quicker than on one rank.

Shapes: B spans of a batch, T inputs of a window, K of its positions that are trained on, N targets of a chunk.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import SIGNALS, Batch, Facts, ModelNetwork, Network, Rows, Stage, signals_of
from pgolf.core.process import one_kernel_thread
from pgolf.core.ranks import share
from pgolf.core.results import ParamSpec
from pgolf.core.threads import threaded
from pgolf.ttt.output import Output
from pgolf.ttt.rate import Rate
from pgolf.ttt.selection import selected
from pgolf.ttt.unadapted import SIGNAL, unadapted


@dataclass(frozen=True, slots=True)
class Chunks:
    """What is trained when, and on what loss.

    ``trains``: which parameters, as words; see ``pgolf.ttt.selection``.
    ``clip``: the largest norm of a step's gradient over these; None: any.
    ``byte_weighted``: the loss is ``Σ b·nll / Σ b``, b the bytes of a target (#687). Long tokens get more than is
    theirs: where weights follow the text closely it hurts, 1.2703 for 1.2502 (``ttt.sgd`` at 0.05).
    ``average``: a step moves an average of the weights by ``1 − average`` of the way to them, and the average is what
    predicts; None: the weights themselves (Polyak, #687). With short chunks it lags: 1.2527 for 1.2500 (0.9, at 0.1).
    ``pull``: after a step the weights go that share of the way back to the artifact's.
    ``restart``: where a chunk holds a document's beginning, the artifact's weights are back after it, and of that chunk
    only the new document is trained on. ``least_tokens``: of a document, before it is trained on.

    Raises ConfigError for a chunk that windows do not fill.
    """

    chunk_tokens: int
    window: int
    epochs: int
    trains: Sequence[str]
    clip: float | None
    byte_weighted: bool = False
    average: float | None = None
    pull: float = 0.0
    restart: bool = False
    least_tokens: int = 0

    def __post_init__(self) -> None:
        if self.chunk_tokens % self.window and self.window % self.chunk_tokens:
            raise ConfigError(
                f"ttt.chunk_tokens: {self.chunk_tokens} is no multiple of ttt.window, {self.window}, and does not "
                "divide it either"
            )

    def windows(self, start: int) -> Iterator[tuple[int, int, int]]:
        """(context, start, stop) of the windows of the chunk that begins at ``start``, as a span has them."""
        keep = min(self.window, self.chunk_tokens)
        for first in range(start, start + self.chunk_tokens, keep):
            yield max(0, first + keep - self.window), first, first + keep


class UpdateRule(Protocol):
    """How gradients become a step; what it remembers is carried through the stream."""

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        """Change ``weights`` in place. ``rate``: the chunk's learning rate."""
        ...

    def fork(self) -> UpdateRule: ...


class GradientAdaptation:
    """What options of this kind have in common."""

    def __init__(self, chunks: Chunks, rate: Rate, output: Output, untie: bool) -> None:
        self.chunks, self.rate, self.output, self.untie = chunks, rate, output, untie

    def rule(self, specs: Sequence[ParamSpec]) -> UpdateRule:
        """A fresh one, for weights with these specifications, in this order."""
        raise NotImplementedError

    def wrap(self, network: Network, facts: Facts) -> Network:
        """A network with weights of its own; ``network`` keeps its.

        Raises ConfigError for one without a model or without what ``trains`` names, and for documents in lanes.
        """
        if not isinstance(network, ModelNetwork):
            name = type(self).__module__.rpartition(".")[2]
            raise ConfigError(f"ttt: {name} trains the weights of a model, which {type(network).__name__} has not")
        if self.chunks.restart and facts.apart:
            raise ConfigError("ttt.restart: documents that are predicted apart are adapted to by ttt=document_lora")
        if self.chunks.restart and facts.lanes > 1:
            raise ConfigError(
                f"ttt.restart: begins anew with each document, of which eval.lanes={facts.lanes} has several at a "
                "time; eval.lanes=1"
            )
        return self.trained(network.fork(), facts)

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """The unadapted network, where it is an expert."""
        return (unadapted(),) if self.output.expert else ()

    def trained(self, network: ModelNetwork, facts: Facts) -> Network:
        """``network`` with what changes its weights."""
        return ChunkTrained(network, facts, self)


class ChunkTrained:
    """``network``, whose weights are this one's own, trained as ``how`` says on each chunk after it has been scored.

    ``start``: the artifact's weights, of those that are trained; ``raw``: these, where their average stands in the
    model while it predicts.
    """

    learns: ClassVar[bool] = True

    def __init__(self, network: ModelNetwork, facts: Facts, how: GradientAdaptation) -> None:
        self.network, self.facts, self.how, self.chunks = network, facts, how, how.chunks
        specs = network.model.param_specs()
        self._names = selected(specs, self.chunks.trains)
        self.rule = how.rule([specs[name] for name in self._names])
        self.frozen = network.fork() if how.output.keep or how.output.expert else None
        self.start = [weight.clone() for weight in self.weights] if self.chunks.pull or self.chunks.restart else None
        self.raw = [weight.clone() for weight in self.weights] if self.chunks.average is not None else None
        self._lanes: dict[int, LaneText] = {}
        self._observed = self._trained = 0  # targets, chunks

    @property
    def weights(self) -> list[Tensor]:
        """Those that are trained."""
        named = dict(self.network.model.named_parameters())
        return [named[name] for name in self._names]

    @property
    def cadence(self) -> int:
        return self.chunks.chunk_tokens

    @property
    def replayed(self) -> bool:
        return self.network.replayed

    @property
    def remembers(self) -> bool:
        return self.network.remembers

    @property
    def offers(self) -> tuple[str, ...]:
        return (*self.network.offers, SIGNAL) if self.how.output.expert else self.network.offers

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        output = self.how.output
        if output.neutral and SIGNAL not in wanted:
            return self.network.log_probs(batch, wanted)
        rows = self.network.log_probs(batch, [name for name in wanted if name not in SIGNALS and name != SIGNAL])
        frozen_BKV = None if self.frozen is None else self.frozen.log_probs(batch).logp_BKV
        return self._mixed(rows, frozen_BKV, wanted)

    def _mixed(self, rows: Rows, frozen_BKV: Tensor | None, wanted: Sequence[str]) -> Rows:
        """The adapted network's rows and signals with the unadapted one's, as far as they are wanted."""
        logp_BKV, told = self.how.output.mixed(rows.logp_BKV, frozen_BKV), dict(rows.signals)
        if SIGNAL in wanted:
            assert frozen_BKV is not None
            told[SIGNAL] = frozen_BKV.exp()
        return Rows(logp_BKV, signals_of(wanted, logp_BKV, told))

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        self.network.observe(batch, tokens_BK)
        if self.frozen is not None:
            self.frozen.observe(batch, tokens_BK)
        for block, input_T, token_K in zip(batch.blocks, batch.inputs_BT, tokens_BK, strict=True):
            number = block.lane % self.facts.lanes
            if block.start == 0:
                self._lanes[number] = LaneText(input_T[-batch.keep :][:1])
            lane = self._lanes[number]
            lane.tokens = torch.cat([lane.tokens, token_K])
            self._observed += batch.keep
            while block.stop - lane.trained >= self.cadence and self._observed < self.facts.targets:
                self._chunk(lane)

    def fork(self) -> ChunkTrained:
        twin = copy.copy(self)
        twin.network, twin.rule = self.network.fork(), self.rule.fork()
        twin.frozen = None if self.frozen is None else self.frozen.fork()
        twin.raw = None if self.raw is None else [weight.clone() for weight in self.raw]
        twin._lanes = {number: copy.copy(lane) for number, lane in self._lanes.items()}
        return twin

    def _chunk(self, lane: LaneText) -> None:
        """Train on the lane's next chunk, as far as it is to be trained on."""
        worth_N = self._worth(lane, self.cadence)
        if lane.begun > lane.trained:
            self.restarted()
        if worth_N is not None:
            self._train(lane, worth_N)
        self._trained += 1
        lane.trained += self.cadence
        lane.forget(max(0, lane.trained - self.chunks.window))

    def _worth(self, lane: LaneText, targets: int) -> Tensor | None:
        """What each of the lane's next ``targets`` counts in the loss, 1 on average; None: none does.

        Where a document begins among them and what was learnt is to be forgotten, ``begun`` lies behind ``trained``.
        """
        first = lane.trained - lane.first
        token_N = lane.tokens[first : first + targets + 1]  # the targets, after the token before them
        worth_N = torch.ones(targets)
        if self.chunks.restart:
            begins = (token_N[1:] == self.facts.bos_id).nonzero().flatten().tolist()
            if begins:
                lane.begun = lane.trained + begins[-1] + 1
                worth_N[: begins[-1] + 1] = 0
            if lane.trained + targets - lane.begun < self.chunks.least_tokens:
                return None
        if self.chunks.byte_weighted:
            assert self.facts.byte_lengths is not None
            worth_N *= torch.from_numpy(self.facts.byte_lengths(token_N.cpu().numpy())).float()
        whole = float(worth_N.sum())
        return worth_N.mul_(targets / whole).to(token_N.device) if whole else None

    @torch.no_grad()
    def restarted(self) -> None:
        """Forget what has been learnt."""
        assert self.start is not None
        for weight, start in zip(self.weights, self.start, strict=True):
            weight.copy_(start)
        if self.raw is not None:
            self.raw = [start.clone() for start in self.start]
        specs = self.network.model.param_specs()
        self.rule = self.how.rule([specs[name] for name in self._names])

    def _train(self, lane: LaneText, worth_N: Tensor) -> None:
        rate = self.how.rate.at(self._trained, -(-self.facts.targets // self.cadence))
        windows = [
            (window, worth_K)
            for window in self.chunks.windows(lane.trained)
            if (worth_K := worth_N[window[1] - lane.trained : window[2] - lane.trained]).any()
        ]
        weights = self.weights
        averages = _exchanged(weights, self.raw)
        for weight in weights:
            weight.requires_grad_(True)
        try:
            with one_kernel_thread():
                for _ in range(self.chunks.epochs):
                    self._step(lane, windows, weights, rate)
                    if averages is not None:
                        _approach(averages, weights, 1 - (self.chunks.average or 0.0))
        finally:
            self.network.model.requires_grad_(False)
        self.raw = _exchanged(weights, averages)

    def _step(self, lane: LaneText, windows: Sequence[_Part], weights: Sequence[Tensor], rate: float) -> None:
        mine = [windows[index] for index in share(self.facts.ranks, len(windows))]
        total = self.facts.ranks.summed(self._all_gradients(lane, mine, weights), weights)
        whole = self.cadence // min(self.cadence, self.chunks.window)
        with torch.no_grad():
            # Each in memory of its own: as a part of another rank's message it may begin anywhere, and a product of a
            # matrix that does has other bits.
            gradients = [gradient / whole for gradient in total]
            del total
            self._stepped(weights, gradients, rate)

    def _stepped(self, weights: Sequence[Tensor], gradients: list[Tensor], rate: float) -> None:
        """The rule's step with gradients of the loss, clipped in place, and the way back."""
        if self.chunks.clip is not None:
            norm = torch.stack(torch._foreach_norm(gradients)).norm()
            torch._foreach_mul_(gradients, float((self.chunks.clip / (norm + 1e-6)).clamp(max=1.0)))
        self.rule.step(weights, gradients, rate)
        if self.chunks.pull:
            assert self.start is not None
            _approach(weights, self.start, self.chunks.pull)

    def _all_gradients(
        self, lane: LaneText, windows: Sequence[_Part], weights: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Window by window, several of them side by side."""
        workers = self.facts.workers if self.facts.device == "cpu" else 1
        for some in (windows[first : first + workers] for first in range(0, len(windows), workers)):
            yield from threaded(lambda part: self._gradients(lane, weights, *part), some, workers)

    def _gradients(
        self, lane: LaneText, weights: Sequence[Tensor], window: tuple[int, int, int], worth_K: Tensor
    ) -> tuple[Tensor, ...]:
        """Of the window's mean cross-entropy, for every weight; zeros where it has no part in it."""
        context, start, stop = (place - lane.first for place in window)
        model, device = self.network.model, self.facts.device.partition(":")[0]
        # Another thread, and a caller's mode, is none of ours: gradients are wanted here.
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device_type=device, enabled=False):
            input_1T, target_K = lane.tokens[None, context:stop].clone(), lane.tokens[start + 1 : stop + 1].clone()
            logits_KV = model.logits(input_1T, stop - start)[0].float()
            loss = (F.cross_entropy(logits_KV, target_K, reduction="none") * worth_K.clone()).mean()
            return torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)


_Part = tuple[tuple[int, int, int], Tensor]  # a window, and what its targets count


@torch.no_grad()
def _exchanged(weights: Sequence[Tensor], others: list[Tensor] | None) -> list[Tensor] | None:
    """Put the values of ``others`` into ``weights`` and return what stood there; None: nothing to exchange."""
    if others is None:
        return None
    before = [weight.detach().clone() for weight in weights]
    for weight, other in zip(weights, others, strict=True):
        weight.copy_(other)
    return before


@torch.no_grad()
def _approach(some: Sequence[Tensor], others: Sequence[Tensor], share: float) -> None:
    """Move ``some`` that share of the way to ``others``."""
    torch._foreach_lerp_(list(some), list(others), share)


class LaneText:
    """A lane's tokens from x_first on, as far as they may still be needed; its targets before ``trained`` are done.

    ``begun``: where its present document begins, as far as it has been trained on.
    """

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens
        self.first = self.trained = self.begun = 0

    def forget(self, place: int) -> None:
        """Keep x_place and what follows."""
        self.tokens, self.first = self.tokens[place - self.first :], place
