"""Rounding that begins as the identity and hardens while the learning rate falls, with its own derivative.

Formula: y = w/s, r = y − ⌊y⌋ − ½, ŵ = s·(⌊y⌋ + ½ + ½·tanh(αr)/tanh(α/2)), clipped to the grid; s as exported
    and held fixed in the backward pass; α = a₀ + (a₁ − a₀)·(1 − lr/lr₀) from a₀ = 1 at the start to a₁ = 16
    at lr = 0, where lr₀ is the learning rate's scale at the start. α → 0 is the identity, α → ∞ rounds.
Source: #589, #606 (about −0.0017 bits per byte against straight-through training, not isolated); spec §6. #1204's
    form is qat=soft_round_sigmoid.
Cost in bytes: none in the artifact, 2.1 kB of code. Cost in step time: none before the start; after it 1.6 times that
of qat=ste.
When it hurts: a schedule with a floor ends at a smaller α and leaves the weights between grid points.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.qat.hardening import Hardening


class SoftRound(Hardening):
    """``qat=soft_round``."""

    word = "soft_round"

    @staticmethod
    def curve(y: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Continuous and increasing: at whole and half numbers it is the identity for every ``alpha``."""
        below = y.floor()
        tanh = torch.tanh(alpha * (y - below - 0.5))
        half = torch.tanh(alpha / 2)
        return below + 0.5 + 0.5 * tanh / half, (1 - tanh.square()) * (alpha / (2 * half))
