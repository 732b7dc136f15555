"""The rule of AdamW, for weights and for adapters. No option; formula: ``pgolf.ttt.adamw``.

Written out because torch's optimizers import a compiler with their first step, which a sealed process refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AdamSettings:
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float


class Adam:
    """``means``, ``squares``: m and s of each weight, once there was a step; ``steps``: t."""

    def __init__(self, settings: AdamSettings) -> None:
        self.settings, self.steps = settings, 0
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        if not self.steps:
            self.means = [torch.zeros_like(weight) for weight in weights]
            self.squares = [torch.zeros_like(weight) for weight in weights]
        self.steps += 1
        how = self.settings
        mean_whole, square_whole = 1 - how.beta1**self.steps, 1 - how.beta2**self.steps
        for weight, gradient, mean, square in zip(weights, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - how.beta1)
            square.mul_(how.beta2).addcmul_(gradient, gradient, value=1 - how.beta2)
            size = (square / square_whole).sqrt_().add_(how.epsilon)
            weight.mul_(1 - rate * how.weight_decay).addcdiv_(mean, size, value=-rate / mean_whole)

    def fork(self) -> Adam:
        twin = Adam(self.settings)
        twin.steps = self.steps
        twin.means = [mean.clone() for mean in self.means]
        twin.squares = [square.clone() for square in self.squares]
        return twin
