"""Low-rank adapters that learn the document at hand, chunk by chunk, and begin anew with each document.

Formula: ``W = W₀ + (α/r)·BA`` for each chosen matrix [out, in], A [r, in] from U(±1/√in) and B [out, r] = 0 where a
document begins; g the gradient of the chunk's loss by W, ``(α/r)·Bᵀg`` and ``(α/r)·gAᵀ`` the gradients of A and B, on
which AdamW takes its step (``pgolf.ttt.adamw``).
Source: #77 (rank 8, α = 8, Q, V and head, lr 0.01, chunks of 256), #1530, #1767, #1855 (ranks 80 to 128, chunks of 32
to 48); spec ttt §3. Its valid form: a chunk is scored before it is trained on, once.
Here one document is adapted to at a time, in stream order, so that adapters can live in the weights themselves and
any architecture has them. Differences from the published ones: chunks lie in the stream and not in the document, so
that a document's first tokens, up to the end of their chunk, still meet the adapters of the one before; what a document
is predicted from may reach back beyond its beginning, as ``eval`` has it; a matrix that several visits share has one
adapter for all of them (``untie`` gives each its own); the output projection's adapter reads its own input and not the
block's; the head's, where it is tied, is the embedding's too. A is the same at every beginning: documents do not depend
on their order.
No document's length is used: ``least_tokens`` of it must have been seen before it is trained on.
Bytes: 3.0 kB of code. In memory the weights that are trained and their gradients; adapters are small.
Time: as ``sgd``.
Measured, as for ``sgd`` (four documents begin): 1.2518 in 24; at 0.003 1.2528; the embedding too, at 0.002 with half
of the unadapted network kept, 1.2504 in 32.
Hurts: rank 8 at lr 0.01 lost on bases with long contexts (1.1734 → 1.31, #658); nothing is gained where documents
are shorter than a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.core.results import ParamSpec
from pgolf.ttt.adam import Adam, AdamSettings
from pgolf.ttt.chunks import Chunks, GradientAdaptation
from pgolf.ttt.output import Output
from pgolf.ttt.rate import Rate
from pgolf.ttt.selection import PLACE

MATRICES = ("matrix", "embedding", "head")  # groups


class LoRA(GradientAdaptation):
    """See the module. No epochs, or a rate of 0, leave the network as it is."""

    def __init__(
        self,
        *,
        chunk_tokens: PositiveInt,
        window: PositiveInt,
        epochs: NonNegativeInt,
        trains: Sequence[str],
        untie: bool,
        restart: bool,
        least_tokens: NonNegativeInt,
        byte_weighted: bool,
        rank: PositiveInt,
        alpha: PositiveFloat,
        lr: NonNegativeFloat,
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
        weight_decay: NonNegativeFloat,
        clip: PositiveFloat | None,
        keep: Fraction,
        unadapted_expert: bool,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        if least_tokens and not restart:
            raise ConfigError("ttt.least_tokens: counts a document's tokens, which ttt.restart=false does not look for")
        super().__init__(
            Chunks(
                chunk_tokens,
                window,
                epochs,
                trains,
                clip,
                byte_weighted,
                restart=restart,
                least_tokens=least_tokens,
            ),
            Rate(lr, final=1.0, rise=1.0, rise_share=1.0),
            Output(keep, temperature, temperature_per_token, unadapted_expert),
            untie,
        )
        self.rank, self.scale = rank, alpha / rank
        self.adam = AdamSettings(beta1, beta2, epsilon, weight_decay)

    def rule(self, specs: Sequence[ParamSpec]) -> LowRank:
        """Raises ConfigError where something else than a matrix is chosen."""
        others = sorted({spec.kind for spec in specs if spec.group not in MATRICES})
        if others:
            raise ConfigError(f"{PLACE}: lora adapts matrices, not {', '.join(others)}; say [matrix] or some of them")
        return LowRank(self.rank, self.scale, Adam(self.adam))


@dataclass(slots=True)
class _Adapter:
    """``start`` W₀, ``down`` A, ``up`` B."""

    start: Tensor
    down: Tensor
    up: Tensor


class LowRank:
    """The rule. ``adapters``: of each weight, once there was a step."""

    def __init__(self, rank: int, scale: float, adam: Adam, adapters: Sequence[_Adapter] = ()) -> None:
        self.rank, self.scale, self.adam, self.adapters = rank, scale, adam, list(adapters)

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        if not self.adapters:
            self.adapters = [_begun(weight, self.rank, number) for number, weight in enumerate(weights)]
        pairs = list(zip(self.adapters, gradients, strict=True))
        self.adam.step(
            [adapter.down for adapter in self.adapters] + [adapter.up for adapter in self.adapters],
            [self.scale * (adapter.up.mT @ gradient) for adapter, gradient in pairs]
            + [self.scale * (gradient @ adapter.down.mT) for adapter, gradient in pairs],
            rate,
        )
        for weight, adapter in zip(weights, self.adapters, strict=True):
            weight.copy_(adapter.start).add_(adapter.up @ adapter.down, alpha=self.scale)

    def fork(self) -> LowRank:
        twins = [_Adapter(adapter.start, adapter.down.clone(), adapter.up.clone()) for adapter in self.adapters]
        return LowRank(self.rank, self.scale, self.adam.fork(), twins)


def _begun(weight: Tensor, rank: int, number: int) -> _Adapter:
    """An adapter that adds nothing yet."""
    rows, columns = weight.shape
    generator = torch.Generator().manual_seed(number)
    down = (2 * torch.rand(rank, columns, generator=generator) - 1) * columns**-0.5
    return _Adapter(weight.detach().clone(), down.to(weight), torch.zeros(rows, rank).to(weight))
