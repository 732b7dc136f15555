"""Gate G6, the sparse gate: as the output gate, but it starts half open and can only close.

Shapes: B batch, T time, D model, H query heads, K head size, W gate window.

``y_h ← σ(α·W·x[:w])_h · y_h``, W = 0, which is 0.5 at the start; the constant α slows it (1, or 0.5 in
#1855). Source: #1787, #1855, spec arch §6.
Cost in bytes: H·w fp16 numbers per visit (96 at record; #1855 stored them as int8 rows). Cost in step time:
about 1.5 %.
When it hurts: unmeasured alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.gating import Gating, HeadGate, check_window
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveFloat, PositiveInt


class GateSparse(Gating):
    def __init__(self, *, window: PositiveInt, alpha: PositiveFloat) -> None:
        self.window, self.alpha = window, alpha

    def part(self, dims: Dims) -> nn.Module:
        return SparseGate(dims, check_window(self.window, dims, "arch.addons.gate_sparse"), self.alpha)


class SparseGate(HeadGate):
    weight: nn.Parameter

    def __init__(self, dims: Dims, window: int, alpha: float) -> None:
        super().__init__()
        self.window, self.alpha = window, alpha
        self.declare_weight(torch.zeros(dims.heads, window))

    def gate(self, h_BTD: Tensor) -> Tensor:
        return torch.sigmoid(self.alpha * F.linear(h_BTD[..., : self.window], self.weight))
