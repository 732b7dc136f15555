"""Training on chunks of what has been scored: what adaptation by gradients has in common, whatever its rule. No option.

Each lane is cut into chunks of ``chunk_tokens``. As soon as all targets of one have been scored, the weights take
``epochs`` steps on it, and then serve everything that follows; after the stream's last target nothing is left to learn
for. A step's loss is the mean cross-entropy of all targets of the chunk, each once, in windows side by side; a chunk
shorter than the window is trained on with the tokens before it as context. Dropout and auxiliary losses are off.

A network that remembers what it has computed (``eval=streaming``) keeps it through a step: keys, values and states that
older weights have made serve on until they leave its window. That is a code length as any other, free, and within
rounding of what computing them anew would give: 40,000 tokens of dev from a default laptop artifact, 1.2502 bits per
byte in 24 processor seconds, and 1.2501 in 36 with the last window run again after each step (sliding: 1.2500 in 28).

A window's gradients are computed on one kernel thread and those of several windows added up in their order. So the
weights have the same bits whoever predicts, in whatever batches, with however many workers.

Shapes: B spans of a batch, T inputs of a window, K of its positions that are trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Batch, Facts, ModelNetwork, Rows
from pgolf.core.process import one_kernel_thread
from pgolf.core.threads import threaded


@dataclass(frozen=True, slots=True)
class Chunks:
    """``clip``: the largest norm of a step's gradient over all weights; None: any.

    Raises ConfigError for a chunk that windows do not fill.
    """

    chunk_tokens: int
    window: int
    epochs: int
    clip: float | None

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

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], progress: float) -> None:
        """Change ``weights`` in place. ``progress``: of the stream, 0 at its first chunk and 1 at its last."""
        ...

    def fork(self) -> UpdateRule: ...


class ChunkTrained:
    """``network``, whose weights are this one's own, trained by ``rule`` on each chunk after it has been scored."""

    learns: ClassVar[bool] = True

    def __init__(self, network: ModelNetwork, facts: Facts, chunks: Chunks, rule: UpdateRule) -> None:
        self.network, self.facts, self.chunks, self.rule = network, facts, chunks, rule
        self._lanes: dict[int, _Lane] = {}
        self._observed = self._trained = 0  # targets, chunks

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
        return self.network.offers

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        return self.network.log_probs(batch, wanted)

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        self.network.observe(batch, tokens_BK)
        for block, input_T, token_K in zip(batch.blocks, batch.inputs_BT, tokens_BK, strict=True):
            if block.start == 0:
                self._lanes[block.lane] = _Lane(input_T[-batch.keep :][:1])
            lane = self._lanes[block.lane]
            lane.tokens = torch.cat([lane.tokens, token_K])
            self._observed += batch.keep
            while block.stop - lane.trained >= self.cadence and self._observed < self.facts.targets:
                self._train(lane)

    def fork(self) -> ChunkTrained:
        twin = ChunkTrained(self.network.fork(), self.facts, self.chunks, self.rule.fork())
        twin._lanes = {number: _Lane(lane.tokens, lane.first, lane.trained) for number, lane in self._lanes.items()}
        twin._observed, twin._trained = self._observed, self._trained
        return twin

    def _train(self, lane: _Lane) -> None:
        """The steps of the lane's next chunk."""
        last = -(-self.facts.targets // self.cadence) - 1  # the number of the last chunk
        progress = min(1.0, self._trained / last) if last else 1.0
        windows = list(self.chunks.windows(lane.trained))
        model = self.network.model
        model.eval().requires_grad_(True)
        try:
            with one_kernel_thread():
                for _ in range(self.chunks.epochs):
                    self._step(lane, windows, progress)
        finally:
            model.requires_grad_(False)
        self._trained += 1
        lane.trained += self.cadence
        lane.forget(max(0, lane.trained - self.chunks.window))

    def _step(self, lane: _Lane, windows: Sequence[tuple[int, int, int]], progress: float) -> None:
        workers = self.facts.workers if self.facts.device == "cpu" else 1
        total: list[Tensor] = []
        for some in (windows[first : first + workers] for first in range(0, len(windows), workers)):
            for gradients in threaded(lambda window: self._gradients(lane, window), some, workers):
                total = [a.add_(b) for a, b in zip(total, gradients, strict=True)] if total else list(gradients)
        with torch.no_grad():
            for gradient in total:
                gradient.div_(len(windows))
            if self.chunks.clip is not None:
                norm = torch.stack([gradient.norm() for gradient in total]).norm()
                factor = (self.chunks.clip / (norm + 1e-6)).clamp(max=1.0)
                for gradient in total:
                    gradient.mul_(factor)
            self.rule.step(list(self.network.model.parameters()), total, progress)

    def _gradients(self, lane: _Lane, window: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Of the window's mean cross-entropy, for every weight; zeros where it has no part in it."""
        context, start, stop = (place - lane.first for place in window)
        model, device = self.network.model, self.facts.device.partition(":")[0]
        # Another thread, and a caller's mode, is none of ours: gradients are wanted here.
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device_type=device, enabled=False):
            input_1T, target_K = lane.tokens[None, context:stop].clone(), lane.tokens[start + 1 : stop + 1].clone()
            loss = F.cross_entropy(model.logits(input_1T, stop - start)[0].float(), target_K)
            return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)


class _Lane:
    """A lane's tokens from x_first on, as far as they may still be needed; its targets before ``trained`` are done."""

    def __init__(self, tokens: Tensor, first: int = 0, trained: int = 0) -> None:
        self.tokens, self.first, self.trained = tokens, first, trained

    def forget(self, place: int) -> None:
        """Keep x_place and what follows."""
        self.tokens, self.first = self.tokens[place - self.first :], place
