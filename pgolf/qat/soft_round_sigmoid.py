"""Soft rounding by a plain sigmoid between two grid points; it hardens while the learning rate falls.

Formula: y = w/s, ŵ = s·(⌊y⌋ + σ(α(y − ⌊y⌋ − ½))), clipped to the grid, derivative ασ(1 − σ); s and α as in
    qat=soft_round, from a₀ = 1 to a₁ = 16. α → ∞ rounds, but α → 0 is ⌊y⌋ + ½, not the identity.
Source: #1204 (spec quant §6), from a learning-rate scale of 0.15 on and not before step 2,000. There α rises over
    500 steps, about what its run has left, here with the fall of the rate; and there the gradient goes through s too.
    In #1204 only the projections of the bigram and value embeddings are trained so, here all tensors on the grid:
    its score is no evidence for this form.
Cost in bytes: none in the artifact, 2.5 kB of code. Cost in step time: as qat=soft_round.
When it hurts: early. At every grid point ŵ jumps by 2σ(−α/2) of a step, 0.76 at α = 1 and 0.0007 at 16, and a
    weight that lies on one is used σ(−α/2) of a step away from it. And as qat=soft_round.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.qat.hardening import Hardening


class SoftRoundSigmoid(Hardening):
    """``qat=soft_round_sigmoid``."""

    word = "soft_round_sigmoid"

    @staticmethod
    def curve(y: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Increasing between whole numbers, where it jumps; at half numbers it is the identity."""
        below = y.floor()
        sigmoid = torch.sigmoid(alpha * (y - below - 0.5))
        return below + sigmoid, alpha * sigmoid * (1 - sigmoid)
