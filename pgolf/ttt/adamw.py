"""Test-time training by AdamW, on each chunk after it has been scored.

Formula: g as for ``sgd``, then in step t ``m ← β₁m + (1−β₁)g;  s ← β₂s + (1−β₂)g²;
W ← (1 − r·λ)W − r·(m/(1−β₁ᵗ)) / (√(s/(1−β₂ᵗ)) + ε)``, m, s and t carried through the stream, r the chunk's rate.
Settings beside these: ``pgolf.ttt.chunks``, ``pgolf.ttt.output``.
Source: #606, #687, #779 (spec ttt §2); AdamW (arXiv 1711.05101).
Bytes: 2.7 kB of code. In memory four further copies of the weights that are trained.
Time: as ``sgd``; the rule itself costs more than the gradients where chunks are short and all weights train.
Measured, as for ``sgd``: 1.2524 in 20 (last two layers and scales at 0.0003); 1.2546, worse than fixed, at 0.001; all
weights at 0.0002 with a pull of 0.02 and half of the unadapted network kept 1.2513 in 35.
Hurts: all weights at a rate that suits a training run are a catastrophe (5e-4: 1.1212 → 1.1566, #687's log); plain
descent is better for whole matrices (design evaluation §8), and this is for scales, few layers or adapters.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.core.ranges import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
)
from pgolf.core.results import ParamSpec
from pgolf.ttt.adam import Adam, AdamSettings
from pgolf.ttt.chunks import Chunks, GradientAdaptation
from pgolf.ttt.output import Output
from pgolf.ttt.rate import Rate


class AdamW(GradientAdaptation):
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
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
        weight_decay: NonNegativeFloat,
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
        self.settings = AdamSettings(beta1, beta2, epsilon, weight_decay)

    def rule(self, specs: Sequence[ParamSpec]) -> Adam:
        return Adam(self.settings)
