"""SmearGate: lets every token see a part of the one before it, in one of three published forms.

Shapes: B batch, T time, D model, W window of channels.

| variant | where | formula | start |
|---|---|---|---|
| ``a`` | after the first norm | ``(1−σ(γ)) ⊙ x_t + σ(γ) ⊙ x_{t−1}``, γ [D] | γ = 0: half and half, token 0 halved |
| ``b`` | before it | ``σ(γ) ⊙ x_t + (1−σ(γ)) ⊙ x_{t−1}``, γ [D] | γ = 3: 0.953 of the token itself |
| ``c`` | before it | ``x_t + λ · σ(w·x_t[:W]) · x_{t−1}``, w [W], scalar λ | λ = 0, w = 0: exact identity |

x_{−1} = 0. With ``bos_mask`` a BOS takes nothing from the token before it and keeps itself whole, so that no
document leaks into the next one packed behind it (the fix of #1851).
Source: ``a`` #549, #687, #860, #1204; ``b`` #65, #187; ``c`` #1667, #1855 (spec arch §4.2).
Cost: D fp32 weights (``a``, ``b``), W+1 (``c``: 13). Time: two elementwise passes over the embedded tokens.
It hurts: ``a`` halves the first token of every window; no source isolates what any variant earns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.dims import Dims
from pgolf.arch.step.memory import LastInputs, Past, Step
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt


class Smear(Part):
    """What the variants share: the previous token, and where it must not be looked at."""

    def __init__(self, bos_id: int | None) -> None:
        super().__init__()
        self.bos_id = bos_id

    def stand_ins(self, past: Past) -> Mapping[str, Step]:
        return {"forward": LastInputs(past, self.forward, 1)}

    def previous(self, x_BTD: Tensor) -> Tensor:
        """``x_{t−1}``, zero at the first position."""
        return F.pad(x_BTD[:, :-1], (0, 0, 1, 0))

    def masked(self, weight: Tensor, ids_BT: Tensor) -> Tensor:
        """``weight`` of the previous token, zero at BOS where the mask is on; broadcastable to [B, T, D]."""
        if self.bos_id is None:
            return weight
        return weight * (ids_BT != self.bos_id).to(weight.dtype)[..., None]


class Blend(Smear):
    """Variants ``a`` and ``b``: a convex blend per channel; ``sign`` says which token σ(γ) weighs."""

    gamma: nn.Parameter

    def __init__(self, width: int, start: float, sign: int, bos_id: int | None) -> None:
        super().__init__(bos_id)
        self.sign = sign
        self.declare_control("gamma", torch.full((width,), start), "smear")

    def forward(self, x_BTD: Tensor, ids_BT: Tensor) -> Tensor:
        weight = self.masked(torch.sigmoid(self.sign * self.gamma).to(x_BTD.dtype), ids_BT)
        return x_BTD + weight * (self.previous(x_BTD) - x_BTD)


class InputGated(Smear):
    """Variant ``c``: the token's own first channels decide how much of the previous one it takes."""

    gate: nn.Parameter
    strength: nn.Parameter

    def __init__(self, window: int, bos_id: int | None) -> None:
        super().__init__(bos_id)
        self.declare_control("gate", torch.zeros(window), "smear")
        self.declare_control("strength", torch.zeros(()), "smear")

    def forward(self, x_BTD: Tensor, ids_BT: Tensor) -> Tensor:
        read_BTW = x_BTD[..., : self.gate.numel()]
        weight_BT1 = self.strength * torch.sigmoid((read_BTW * self.gate).sum(-1, keepdim=True))
        return x_BTD + self.masked(weight_BT1.to(x_BTD.dtype), ids_BT) * self.previous(x_BTD)


class SmearGate(Addon):
    """The specification. ``window``: how many channels the gate of variant ``c`` reads."""

    order = 20

    def __init__(self, *, variant: Literal["a", "b", "c"], bos_mask: bool, window: PositiveInt) -> None:
        self.variant, self.bos_mask, self.window = variant, bos_mask, window
        self.sites = ("stream",) if variant == "a" else ("embedding",)

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> Smear:
        bos_id = dims.bos_id if self.bos_mask else None
        if self.variant == "a":
            return Blend(dims.width, start=0.0, sign=1, bos_id=bos_id)
        if self.variant == "b":
            return Blend(dims.width, start=3.0, sign=-1, bos_id=bos_id)
        if self.window > dims.width:
            raise ConfigError(f"arch.addons.smear_gate.window: {self.window} is more than the width, {dims.width}")
        return InputGated(self.window, bos_id)
