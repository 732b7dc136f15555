"""Depthwise causal taps: each channel's weighted sum of its own last few values.

Shapes: B batch, T time, D channels, J taps.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def causal_taps(x_BTD: Tensor, weight_JD: Tensor, bias_D: Tensor | None = None) -> Tensor:
    """``y_t = bias + Σ_j w_j ⊙ x_{t−j}``; values before the sequence are zero."""
    taps = weight_JD.size(0)
    x_BDT = F.pad(x_BTD.transpose(1, 2), (taps - 1, 0))
    kernel_D1J = weight_JD.flip(0).T.unsqueeze(1)
    return F.conv1d(x_BDT, kernel_D1J, bias_D, groups=weight_JD.size(1)).transpose(1, 2)
