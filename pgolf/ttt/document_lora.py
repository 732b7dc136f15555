"""Low-rank adapters of documents that are predicted apart: each has its own, all of them learn beside each other.

Formula: a chosen part of the network that makes y of x gives ``y + (α/r)·B(Ax)``, A [r, in] from U(±1/√in) and
B [out, r] = 0 where a document begins. A chunk of a document is scored, then A and B take one step of AdamW
(``pgolf.ttt.adamw``) on the mean cross-entropy of that chunk, and serve the document's next one. Nobody learns from a
document that has ended.
Parts, as words: ``q``, ``k``, ``v``, ``out``, ``up``, ``down``, … the matrices of that name; ``mixer`` and ``mlp``
beside the whole sublayer, from what it reads (normed) to what it writes, before its scale; ``head`` beside the matrix
that scores words, before the cap, tied or not. A part that several visits share has an adapter for each.
Source: #77 (q, v, head; rank 8, Adam, chunks of 256), #1530 (q, k, v, mixer, mlp, head; rank 96, chunks of 32), #1767
(rank 128, α = 144, ``warm``), #1855 (rank 80); spec ttt §3. A is the same at every beginning and not drawn anew: no
document depends on another or on its place in the queue. ``warm`` keeps what A has become, and then they do, which is a
code length still, since those before are known. No document's length is used: ``least_tokens`` of it must have been
seen before it is trained on, and a window begins where its position says (``eval=documents``).
Bytes: 2.9 kB of code. In memory, for each of the documents beside each other, four times its adapters.
Time: for each chunk three forward passes more, over its whole window.
Measured, as for ``eval=documents`` (1.1327 in 10.6): chunks of 128, rank 16, every part: 1.1313 in 41 at 0.001, 1.1321
at 0.003; at 0.01, even with half of the unadapted network kept, 1.1337 in 56.
Hurts: rank 8 at lr 0.01 lost on bases with long contexts (1.1734 → 1.31, #658); nothing is gained where documents
are shorter than a chunk, and what was learnt from one document is of no use to the next.

Shapes: L documents beside each other, B of them in a batch, T inputs of a window, K positions kept, C of a chunk, V
vocabulary, R rank.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.prediction import SIGNALS, Batch, Facts, ModelNetwork, Network, Rows, Stage
from pgolf.core.protocols import Beside, Model
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.core.ranks import owner
from pgolf.core.threads import threaded
from pgolf.ttt.adam import Adam, AdamSettings
from pgolf.ttt.output import Output

PLACE = "ttt.trains"


class DocumentLoRA:
    """See the module. A rate of 0 leaves the network as it is."""

    untie: ClassVar[bool] = False
    apart: ClassVar[bool] = True  # it wants eval=documents

    def __init__(
        self,
        *,
        chunk_tokens: PositiveInt,
        trains: Sequence[str],
        rank: PositiveInt,
        alpha: PositiveFloat,
        warm: bool,
        least_tokens: NonNegativeInt,
        lr: NonNegativeFloat,
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
        weight_decay: NonNegativeFloat,
        keep: Fraction,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        self.chunk_tokens, self.trains, self.rank, self.scale = chunk_tokens, tuple(trains), rank, alpha / rank
        self.warm, self.lr, self.adam = warm, lr, AdamSettings(beta1, beta2, epsilon, weight_decay)
        self.first_chunk = max(1, -(-least_tokens // chunk_tokens))
        self.output = Output(keep, temperature, temperature_per_token)

    def wrap(self, network: Network, facts: Facts) -> Network:
        """Raises ConfigError where documents are not apart, and for words that name no part of the model."""
        if not facts.apart:
            raise ConfigError("ttt: document_lora adapts to documents that are predicted apart; choose eval=documents")
        if not isinstance(network, ModelNetwork):
            raise ConfigError(f"ttt: document_lora adapts a model, which {type(network).__name__} has not")
        return self.adapted(network.fork(), facts)

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """No expert."""
        return ()

    def adapted(self, network: ModelNetwork, facts: Facts) -> Network:
        """``network`` with its adapters."""
        return DocumentAdapted(network, facts, self)


class DocumentAdapted:
    """``network``, whose model is this one's own. ``down, up``: A [L, R, in] and B [L, out, R] of each visit of a
    part; ``begun``: A where a document begins; ``means, squares``: what AdamW remembers of all A and then all B. Those
    of a lane learn on the rank that owns it, which alone predicts it."""

    learns: ClassVar[bool] = True
    replayed: ClassVar[bool] = False
    remembers: ClassVar[bool] = False

    def __init__(self, network: ModelNetwork, facts: Facts, how: DocumentLoRA) -> None:
        self.network, self.facts, self.how, self.parts = network, facts, how, Parts(network.model, how.trains)
        self.shapes = self.parts.measured()
        self.begin()

    def begin(self) -> None:
        """Nothing has been learnt. There is memory for adapters once the first of them steps."""
        self.begun: list[Tensor] = []
        self.down: list[Tensor] = []
        self.up: list[Tensor] = []
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []

    def _make_room(self) -> None:
        device, rank, lanes = self.facts.device, self.how.rank, self.facts.lanes
        self.begun = [_begun(number, rank, width).to(device) for number, (width, _) in enumerate(self.shapes)]
        self.down = [start.repeat(lanes, 1, 1) for start in self.begun]
        self.up = [torch.zeros(lanes, rows, rank, device=device) for _, rows in self.shapes]
        self.means = [torch.zeros_like(weight) for weight in (*self.down, *self.up)]
        self.squares = [torch.zeros_like(weight) for weight in self.means]

    @property
    def cadence(self) -> int:
        return self.how.chunk_tokens

    @property
    def offers(self) -> tuple[str, ...]:
        return self.network.offers

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        plain_B = self._plain(batch)
        if not plain_B.any():
            return self._adapted(batch, wanted)
        with self.parts.through(None):
            rows = self.network.log_probs(_of(batch, plain_B), wanted)
        if plain_B.all():
            return rows
        others = self._adapted(_of(batch, ~plain_B), wanted)
        signals = {name: _merged(plain_B, rows.signals[name], others.signals[name]) for name in wanted}
        return Rows(_merged(plain_B, rows.logp_BKV, others.logp_BKV), signals)

    def _adapted(self, batch: Batch, wanted: Sequence[str]) -> Rows:
        adapters = None
        if self.down and self._steps(batch.blocks[0].start):
            lane_B = self._lanes(batch)
            adapters = self._adapters([weight[lane_B] for weight in (*self.down, *self.up)])
        if self.how.output.neutral:
            with self.parts.through(adapters):
                return self.network.log_probs(batch, wanted)
        with self.parts.through(adapters):
            logp_BKV = self.network.log_probs(batch).logp_BKV
        frozen_BKV = self.network.log_probs(batch).logp_BKV if self.how.output.keep else None
        logp_BKV = self.how.output.mixed(logp_BKV, frozen_BKV)
        return Rows(logp_BKV, {name: SIGNALS[name](logp_BKV) for name in wanted})

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """One step on the chunk that these blocks end, of each document that goes on."""
        stop = batch.blocks[0].stop
        steps = self._steps(stop)
        if stop % self.cadence or not steps or not self.how.lr:
            return
        ranks, lane_B = self.facts.ranks, self._lanes(batch)
        goes_on_B = (tokens_BK[:, -1] != self.facts.bos_id) & (owner(ranks, lane_B) == ranks.rank)
        goes_on_B &= ~self._plain(batch)
        lane_B = lane_B[goes_on_B]
        if not len(lane_B):
            return
        target_BT = torch.cat([batch.inputs_BT[:, 1:], tokens_BK[:, -1:]], dim=1)
        if not self.down:
            self._make_room()
        if steps == 1:  # a document begins
            for down, start in zip(self.down, self.begun, strict=True):
                if not self.how.warm:
                    down[lane_B] = start
            for up in self.up:
                up[lane_B] = 0.0
        workers = self.facts.workers if self.facts.device == "cpu" else 1
        parts = [torch.nonzero(goes_on_B).flatten()[first::workers] for first in range(min(workers, len(lane_B)))]
        done = threaded(lambda part_b: self._gradients(batch, target_BT, part_b), parts, workers)
        for part_b, gradients in zip(parts, done, strict=True):
            self._step(self._lanes(batch)[part_b], gradients, steps)

    def fork(self) -> DocumentAdapted:
        twin = copy.copy(self)
        with self.parts.let_go():
            twin.network = self.network.fork()
        twin.parts = Parts(twin.network.model, self.how.trains)
        for name in ("down", "up", "means", "squares"):
            setattr(twin, name, [weight.clone() for weight in getattr(self, name)])
        return twin

    def _lanes(self, batch: Batch) -> Tensor:
        return torch.tensor([block.lane % self.facts.lanes for block in batch.blocks], device=self.facts.device)

    def _plain(self, batch: Batch) -> Tensor:
        """Of which blocks the document has no adapters."""
        return torch.tensor([block.plain for block in batch.blocks], device=self.facts.device)

    def _steps(self, tokens: int) -> int:
        """How many were taken when so many tokens of a document had been scored."""
        return max(0, tokens // self.cadence - self.how.first_chunk + 1)

    @torch.no_grad()
    def _step(self, lane_b: Tensor, gradients: Sequence[Tensor], steps: int) -> None:
        weights = [*self.down, *self.up]
        adam = Adam(self.how.adam)
        adam.steps = steps - 1  # the first one forgets what was there
        adam.means, adam.squares = ([kept[lane_b] for kept in some] for some in (self.means, self.squares))
        stepped = [weight[lane_b] for weight in weights]
        adam.step(stepped, gradients, self.how.lr)
        for kept, new in ((weights, stepped), (self.means, adam.means), (self.squares, adam.squares)):
            for one, value in zip(kept, new, strict=True):
                one[lane_b] = value

    def _gradients(self, batch: Batch, target_BT: Tensor, part_b: Tensor) -> tuple[Tensor, ...]:
        """Of the chunk's loss, by A and by B of these documents of the batch."""
        lane_b, chunk = self._lanes(batch)[part_b], min(self.cadence, target_BT.size(1))
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(target_BT.device.type, enabled=False):
            weights = [weight[lane_b].requires_grad_() for weight in (*self.down, *self.up)]
            with self.parts.through(self._adapters(weights)):
                logits_bCV = self.network.model.logits(batch.inputs_BT[part_b].clone(), chunk).float()
            nll_bC = F.cross_entropy(logits_bCV.mT, target_BT[part_b, -chunk:].clone(), reduction="none")
            return torch.autograd.grad(nll_bC.mean(1).sum(), weights)

    def _adapters(self, weights: Sequence[Tensor]) -> Adapters:
        count = len(weights) // 2
        scaled = [self.how.scale * up for up in weights[count:]]
        return Adapters(list(zip(weights[:count], scaled, strict=True)))


class Adapters:
    """Of one forward pass. ``weights``: A [B, R, in] and B [B, out, R] of each visit in the order of visits."""

    def __init__(self, weights: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._weights = iter(weights)

    def added(self, x_BTI: Tensor, y_BTO: Tensor) -> Tensor:
        """To what the next visit has made of ``x``."""
        down_BRI, up_BOR = next(self._weights)
        return y_BTO + torch.bmm(torch.bmm(x_BTI, down_BRI.mT), up_BOR.mT)


class _Widths:
    """In their place, what measures: widths in and out of each visit."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int]] = []

    def added(self, x_BTI: Tensor, y_BTO: Tensor) -> Tensor:
        if x_BTI.dim() != 3 or y_BTO.shape[:2] != x_BTI.shape[:2]:
            raise ConfigError(f"{PLACE}: a part that makes {tuple(y_BTO.shape)} of {tuple(x_BTI.shape)} has no adapter")
        self.found.append((x_BTI.size(2), y_BTO.size(2)))
        return y_BTO


class Parts:
    """The parts of ``model`` that ``words`` name, listened at: in a thread that is ``through`` adapters, these add to
    what each makes."""

    def __init__(self, model: Model, words: Sequence[str]) -> None:
        self.model, self._now = model, threading.local()
        named: dict[str, list[nn.Module]] = {"head": []}
        for name, module in model.named_modules():
            if isinstance(module, Beside):
                word = name.rpartition(".")[2] if module.role == "matrix" else module.role
                named.setdefault(word, []).append(module)
        for word in words:
            if word not in named:
                choices = ", ".join(sorted(named))
                near = did_you_mean(word, sorted(named))
                raise ConfigError(f"{PLACE}: this model has no part {word!r}; there are {choices}.{near}")
        if not words:
            raise ConfigError(f"{PLACE}: [] names no part; there are {', '.join(sorted(named))}")
        self._modules, self._head = [module for word in dict.fromkeys(words) for module in named[word]], "head" in words
        self._listen()

    def measured(self) -> list[tuple[int, int]]:
        """Widths in and out, visit by visit."""
        device = next(self.model.parameters()).device  # none, where a config is checked
        widths = _Widths()
        with self.through(widths), torch.inference_mode():
            self.model.logits(torch.zeros(1, 2, dtype=torch.int64, device=device))
        return widths.found

    @contextmanager
    def through(self, adapters: Adapters | _Widths | None) -> Iterator[None]:
        self._now.adapters = adapters
        try:
            yield
        finally:
            self._now.adapters = None

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """While the model is copied."""
        for handle in self._handles:
            handle.remove()
        vars(self.model).pop("words", None)
        try:
            yield
        finally:
            self._listen()

    def _listen(self) -> None:
        self._handles = [module.register_forward_hook(self._hook) for module in self._modules]
        if self._head:
            words = self.model.words  # type: ignore[attr-defined]
            vars(self.model)["words"] = lambda x_BTD: self._added(x_BTD, words(x_BTD))

    def _hook(self, module: nn.Module, given: tuple[Tensor, ...], y_BTO: Tensor) -> Tensor:
        return self._added(given[0], y_BTO)

    def _added(self, x_BTI: Tensor, y_BTO: Tensor) -> Tensor:
        adapters = getattr(self._now, "adapters", None)
        return y_BTO if adapters is None else adapters.added(x_BTI, y_BTO)


def _of(batch: Batch, kept_B: Tensor) -> Batch:
    """Some blocks of the batch."""
    blocks = tuple(block for block, kept in zip(batch.blocks, kept_B.tolist(), strict=True) if kept)
    return Batch(blocks, batch.inputs_BT[kept_B], batch.keep)


def _merged(plain_B: Tensor, plain_bX: Tensor, others_bX: Tensor) -> Tensor:
    """What belongs to the blocks of one kind and of the other, as they lie in the batch."""
    merged_BX = plain_bX.new_empty(len(plain_B), *plain_bX.shape[1:])
    merged_BX[plain_B], merged_BX[~plain_B] = plain_bX, others_bX
    return merged_BX


def _begun(number: int, rank: int, width: int) -> Tensor:
    """A where a document begins."""
    generator = torch.Generator().manual_seed(number)
    return (2 * torch.rand(rank, width, generator=generator) - 1) * width**-0.5
