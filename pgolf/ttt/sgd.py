"""Test-time training by gradient descent with momentum, on each chunk after it has been scored.

Formula: g the gradient of the mean cross-entropy of the chunk's targets, scaled down to norm ``clip`` over all weights
where it is longer; ``m ← μm + g;  W ← W − r·m``, ``epochs`` times a chunk, m carried through the stream, r the chunk's
rate (``pgolf.ttt.rate``). Further settings, each neutral unless set: ``pgolf.ttt.chunks``, ``pgolf.ttt.output``.
Source: #461, #549, #1413, #1493 (spec ttt §1); W starts as the artifact's weights decode, fp32 (§8).
Bytes: 2.6 kB of code. The number of chunks follows from the stream's length, which a decoder is told anyway. In memory
three further copies of the weights that are trained: their own, their gradient and m.
Time: ``epochs`` times about three forward passes over each token, and where a chunk is shorter than the window over
its context again; windows of a chunk run side by side on a CPU.
Measured: 40,000 tokens of dev from a default laptop artifact, streaming, bits per byte and processor seconds: fixed
1.2541 in 4; every 128 tokens at 0.05 1.2502 in 25, at 0.1 1.2500; at 0.2 with a pull of 0.05 1.2482; half of the
unadapted network kept, at 0.1 1.2488 in 31, at 0.3 with a pull of 0.02, as at laptop size, 1.2458; every 64 tokens
at 0.2 1.2449 in 53. At 0.1 with a pull of 0.02: all weights 1.2485, without the embedding 1.2505; beginning anew with
each document 1.2482. At 0.05 the last two layers and scales alone 1.2523.
Hurts: strong networks hardly gain (published −0.002); too large a rate is a catastrophe where nothing of the unadapted
network is kept; a falling rate where short chunks follow the document at hand, which is as useful at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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


class SGD(GradientAdaptation):
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
        clip: PositiveFloat | None,
        pull: Fraction,
        average: Fraction | None,
        keep: Fraction,
        unadapted_expert: bool,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        super().__init__(
            Chunks(chunk_tokens, window, epochs, trains, clip, byte_weighted, average, pull, restart),
            Rate(lr, final_lr, rise, rise_share),
            Output(keep, temperature, temperature_per_token, unadapted_expert),
            untie,
        )
        self.momentum = momentum

    def rule(self, specs: Sequence[ParamSpec]) -> Momentum:
        return Momentum(self.momentum)


class Momentum:
    """The rule. ``velocities``: m of each weight, once there was a step; none without momentum."""

    def __init__(self, momentum: float, velocities: Sequence[Tensor] = ()) -> None:
        self.momentum, self.velocities = momentum, list(velocities)

    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        if not self.momentum:
            torch._foreach_add_(list(weights), list(gradients), alpha=-rate)
            return
        if not self.velocities:
            self.velocities = [torch.zeros_like(weight) for weight in weights]
        torch._foreach_mul_(self.velocities, self.momentum)
        torch._foreach_add_(self.velocities, list(gradients), alpha=1)
        torch._foreach_add_(list(weights), self.velocities, alpha=-rate)

    def fork(self) -> Momentum:
        return Momentum(self.momentum, [velocity.clone() for velocity in self.velocities])
