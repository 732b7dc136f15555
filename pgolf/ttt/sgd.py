"""Test-time training by gradient descent with momentum: all weights, on each chunk after it has been scored.

Formula: g the gradient of the mean cross-entropy of the chunk's targets, scaled down to norm ``clip`` over all weights
where it is longer; ``m ← μm + g;  W ← W − lr·m``, ``epochs`` times a chunk, m carried through the stream. The rate of
chunk k of n is ``lr·(f + (1−f)·½(1 + cos(πk/(n−1))))``, f ``final_lr``: 0 as published, 1 a constant rate.
Source: #461, #549, #1413, #1493 (spec ttt §1); W starts as the artifact's weights decode, fp32 (§8).
Bytes: 1.1 kB of code. n follows from the stream's length, which a decoder is told anyway. In memory three further
copies of the weights: its own, their gradient and m.
Time: ``epochs`` times about three forward passes over each token, and where a chunk is shorter than the window over
its context again; windows of a chunk run side by side on a CPU.
Hurts: strong networks hardly gain (published −0.002 bits per byte); too large a rate, or AdamW's, is a catastrophe; a
falling rate where short chunks follow the document at hand, which is as useful at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, ModelNetwork, Network
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.ttt.chunks import Chunks, ChunkTrained


class SGD:
    """See the module. No epochs, or a rate of 0, leave the network as it is."""

    def __init__(
        self,
        *,
        chunk_tokens: PositiveInt,
        window: PositiveInt,
        epochs: NonNegativeInt,
        lr: NonNegativeFloat,
        final_lr: Fraction,
        momentum: Fraction,
        clip: PositiveFloat | None,
    ) -> None:
        self.chunks = Chunks(chunk_tokens, window, epochs, clip)
        self.lr, self.final_lr, self.momentum = lr, final_lr, momentum

    def wrap(self, network: Network, facts: Facts) -> Network:
        """A network with weights of its own; ``network`` keeps its. Raises ConfigError for one without a model."""
        if not isinstance(network, ModelNetwork):
            raise ConfigError(f"ttt: sgd trains the weights of a model, which {type(network).__name__} has not")
        return ChunkTrained(network.fork(), facts, self.chunks, Momentum(self.lr, self.final_lr, self.momentum))


class Momentum:
    """The rule. ``velocities``: m of each weight, once there was a step."""

    def __init__(self, lr: float, final_lr: float, momentum: float, velocities: Sequence[Tensor] = ()) -> None:
        self.lr, self.final_lr, self.momentum = lr, final_lr, momentum
        self.velocities = list(velocities)

    def rate(self, progress: float) -> float:
        """The learning rate after that fraction of the stream."""
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * progress)))

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], progress: float) -> None:
        if not self.velocities:
            self.velocities = [torch.zeros_like(weight) for weight in weights]
        rate = self.rate(progress)
        for weight, velocity, gradient in zip(weights, self.velocities, gradients, strict=True):
            velocity.mul_(self.momentum).add_(gradient)
            weight.sub_(velocity, alpha=rate)

    def fork(self) -> Momentum:
        return Momentum(self.lr, self.final_lr, self.momentum, [velocity.clone() for velocity in self.velocities])
