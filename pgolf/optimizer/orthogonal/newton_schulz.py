"""Orthogonalise by Newton–Schulz: the same quintic in every step.

Formula, cost and where it hurts: ``pgolf.core.newton_schulz``.
Source: Muon (Jordan), five steps, as the baseline and most records; spec optimizer §2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.core.newton_schulz import newton_schulz
from pgolf.core.ranges import PositiveInt


class NewtonSchulz:
    """``optimizer/orthogonal=newton_schulz``."""

    def __init__(self, *, dtype: torch.dtype, steps: PositiveInt) -> None:
        self.dtype, self.steps = dtype, steps

    def __call__(self, u_KMN: Tensor) -> Tensor:
        return newton_schulz(u_KMN, self.steps, self.dtype)
