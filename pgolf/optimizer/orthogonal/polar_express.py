"""Orthogonalise by Polar Express: in each step the quintic that does most for the singular values left by those before.

Formula: as ``pgolf.core.newton_schulz`` with a triple of its own for each of up to five steps. Singular values
    s/‖U‖_F ≥ 0.001 land in [0.859, 1.141] after five steps, in [0.42, 1.58] after four.
Source: Amsel et al. 2025 (arXiv 2505.16932); #1344, #1787, #1855; spec optimizer §2.
Cost in bytes: none. Cost in step time: that of Newton–Schulz with as many steps; four save a fifth of it (#1298).
When it hurts: the evidence disagrees (part of −0.0007 in #1792; +0.00043 in #1516, +0.00024 in #1831).
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from pgolf.core.newton_schulz import Quintic, iterate
from pgolf.core.ranges import Between

QUINTICS: tuple[Quintic, ...] = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


class PolarExpress:
    """``optimizer/orthogonal=polar_express``. ``margin`` keeps singular values rounded above the norm from growing."""

    def __init__(
        self,
        *,
        dtype: torch.dtype,
        steps: Annotated[int, Between(1, len(QUINTICS))],
        margin: Annotated[float, Between(1)],
    ) -> None:
        self.dtype, self.steps, self.margin = dtype, steps, margin

    def __call__(self, u_KMN: Tensor) -> Tensor:
        return iterate(u_KMN, QUINTICS[: self.steps], self.dtype, self.margin)
