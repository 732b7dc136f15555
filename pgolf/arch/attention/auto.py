"""Attention by the kernel that is fastest where the model runs: ``blocked`` to train on a CPU, else ``sdpa``.

``y = softmax(q kᵀ / √K + causal) v``; both kernels compute it, so an artifact is scored anywhere. The choice is made
in each forward pass by what it is given: on a CPU, with a gradient to come, in bf16 and in windows of up to
``blocked_up_to`` positions it is ``blocked``. Scores are made without gradients, in fp32: by ``sdpa`` on any device.
Source: measured here, ``pgolf bench attention``.
Cost in bytes: none beyond the four matrices; a bundled script carries both kernels. Cost in step time: the cheaper's.
Hurts: as ``sdpa``; whoever wants the same kernel everywhere says ``sdpa`` or ``blocked``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pgolf.arch.attention.base import Kernel
from pgolf.arch.attention.blocked import Blocked, pays
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.dims import Dims
from pgolf.core.ranges import PositiveInt


class Auto(Kernel):
    """``block`` is that of ``blocked``."""

    def __init__(self, *, dims: Dims, block: PositiveInt, blocked_up_to: PositiveInt) -> None:
        super().__init__(dims=dims)
        self.blocked, self.blocked_up_to = Blocked(dims=dims, block=block), blocked_up_to

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        if pays(q_BTHK, self.blocked_up_to):
            return self.blocked.mix(q_BTHK, k_BTGK, v_BTGK, context)
        return fused(q_BTHK, k_BTGK, v_BTGK)
