"""Shrink every weight, whatever its gradient: ``W ← (1 − lr·wd)·W`` with the scheduled learning rate.

Source: AdamW's decay, with Muon since #162; spec optimizer §2. Cost in bytes: it saves them (0.04: 17.0 → 14.3 MB,
#687), since what GPTQ and the compressor see is smaller (#1218: bytes follow the weights' RMS, R² ≈ 0.99).
Cost in step time: one pass over the weights. When it hurts: beyond 0.1 the model learns less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Decoupled:
    """``optimizer/decay=decoupled``."""

    def __init__(self) -> None:
        pass

    def __call__(self, weights: list[Tensor], updates: Sequence[Tensor], rate: float) -> None:
        torch._foreach_mul_(weights, 1 - rate)
