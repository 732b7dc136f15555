"""Gate G5, the output gate: each head's factor reads a few channels of the sublayer's input.

Shapes: B batch, T time, D model, H query heads, K head size, W gate window.

``y_h ← 2σ(W·x[:w])_h · y_h``, W = 0: the identity at the start. Source: #1667, spec arch §6.
Cost in bytes: H·w fp16 numbers per visit (96 at record). Cost in step time: about 1.5 %.
When it hurts: not seen to; the record that added it with smear gate C scored 1.0714.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.gating import Gating, HeadGate, check_window
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveInt


class GateOutput(Gating):
    def __init__(self, *, window: PositiveInt) -> None:
        self.window = window

    def part(self, dims: Dims) -> nn.Module:
        return OutputGate(dims, check_window(self.window, dims, "arch.addons.gate_output"))


class OutputGate(HeadGate):
    weight: nn.Parameter

    def __init__(self, dims: Dims, window: int) -> None:
        super().__init__()
        self.window = window
        self.declare_weight(torch.zeros(dims.heads, window))

    def gate(self, h_BTD: Tensor) -> Tensor:
        return 2 * torch.sigmoid(F.linear(h_BTD[..., : self.window], self.weight))
