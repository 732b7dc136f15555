"""The contract of arch/attention's options: a kernel, which mixes values over the positions that a query may see.

Shapes: B batch, T time, H query heads, G key/value heads, K head size.

``y_t = Σ_{j visible to t} softmax(q kᵀ / √K)_tj v_j``. What all kernels share stands in ``layer``, which holds one: a
kernel owns no parameters. The settings of the layer and those of the kernel stand side by side in one YAML.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from pgolf.arch.base import SequenceMixer
from pgolf.arch.dims import Dims


class Kernel(ABC):
    """``trains_on`` names the device types that have a backward pass for it. ``takes_rows``: it trains on rows longer
    than a window, of which no position sees further than one."""

    takes_rows: bool = False
    trains_on: tuple[str, ...] = SequenceMixer.trains_on

    def __init__(self, *, dims: Dims) -> None:
        self.dims = dims

    @abstractmethod
    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        """Causal attention, y_BTHK; query head h reads key/value head ⌊h·G/H⌋."""

    def visible(self, ids_BT: Tensor, count: int) -> Tensor:
        """Which positions the last ``count`` see, bool [B or 1, count, T]: all up to themselves, unless a kernel says
        otherwise."""
        length = ids_BT.size(1)
        return torch.ones(1, count, length, dtype=torch.bool, device=ids_BT.device).tril(length - count)
