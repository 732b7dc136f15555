"""Test-time training of matrices by Muon, on each chunk after it has been scored.

Formula: g as for ``sgd``, then for each matrix ``M ← μM + g;  U = g + μM;  W ← W − r·max(1, rows/columns)^½·NS(U)``, NS
the Newton–Schulz orthogonalisation (``pgolf.core.newton_schulz``), in fp32; r the chunk's rate. The size of g does not
matter, and so ``clip`` is no setting. Further settings: ``pgolf.ttt.chunks``, ``pgolf.ttt.output``.
Source: Muon (Jordan) as the records train with it (spec optimizer §2); as adaptation, design evaluation §8.
Bytes: 2.7 kB of code. In memory as ``sgd``.
Time: as ``sgd``, and Newton–Schulz for each matrix and step: with short chunks the larger part.
Measured, as for ``sgd``: 1.2531 in 33; at 0.002 with half of the unadapted network kept 1.2529 in 42.
Hurts: descent is better and cheaper (design evaluation §8); a step is as long where there is nothing to learn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.newton_schulz import newton_schulz
from pgolf.core.ranges import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
)
from pgolf.core.results import ParamSpec
from pgolf.ttt.chunks import Chunks, GradientAdaptation
from pgolf.ttt.output import Output
from pgolf.ttt.rate import Rate
from pgolf.ttt.selection import PLACE


class MuonAdaptation(GradientAdaptation):
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
        byte_weighted: bool,
        lr: NonNegativeFloat,
        final_lr: Fraction,
        rise: PositiveFloat,
        rise_share: PositiveFraction,
        momentum: Fraction,
        ns_steps: PositiveInt,
        pull: Fraction,
        average: Fraction | None,
        keep: Fraction,
        unadapted_expert: bool,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        super().__init__(
            Chunks(chunk_tokens, window, epochs, trains, None, byte_weighted, average, pull, restart),
            Rate(lr, final_lr, rise, rise_share),
            Output(keep, temperature, temperature_per_token, unadapted_expert),
            untie,
        )
        self.momentum, self.ns_steps = momentum, ns_steps

    def rule(self, specs: Sequence[ParamSpec]) -> Orthogonalised:
        """Raises ConfigError where something else than a matrix of the layers is chosen."""
        others = sorted({spec.kind for spec in specs if spec.group != "matrix"})
        if others:
            raise ConfigError(f"{PLACE}: muon trains matrices, not {', '.join(others)}; say [matrix] or some of them")
        return Orthogonalised(self.momentum, self.ns_steps)


class Orthogonalised:
    """The rule. ``momenta``: M of each weight, once there was a step."""

    def __init__(self, momentum: float, ns_steps: int, momenta: Sequence[Tensor] = ()) -> None:
        self.momentum, self.ns_steps, self.momenta = momentum, ns_steps, list(momenta)

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        if not self.momenta:
            self.momenta = [torch.zeros_like(weight) for weight in weights]
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for weight, gradient, momentum in zip(weights, gradients, self.momenta, strict=True):
            momentum.mul_(self.momentum).add_(gradient)
            alike.setdefault(weight.shape, []).append((weight, gradient.add(momentum, alpha=self.momentum)))
        for (rows, columns), members in alike.items():
            updates = newton_schulz(torch.stack([update for _, update in members]), self.ns_steps, torch.float32)
            size = rate * max(1.0, rows / columns) ** 0.5
            for (weight, _), update in zip(members, updates, strict=True):
                weight.sub_(update, alpha=size)

    def fork(self) -> Orthogonalised:
        return Orthogonalised(self.momentum, self.ns_steps, [momentum.clone() for momentum in self.momenta])
