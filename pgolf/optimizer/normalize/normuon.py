"""Even out how far rows are moved over time: NorMuon divides each by the running size of its updates.

Formula: ``v`` = mean of O² over a row's columns; ``V ← β₂V + (1−β₂)v;  Ô = O/√max(V, 1e-10)``, and Ô scaled to the norm
    that O had. ``of: longer_side`` takes columns in place of rows where a matrix has more of them.
Source: NorMuon (arXiv 2510.05491: rows), #438, #1520; modded-nanogpt (the longer side, β₂ 0.95); spec optimizer §2.
Cost in bytes: none; one fp32 number a row in memory. Cost in step time: two passes over the matrices.
When it hurts: no clean difference in bits per byte is published.

Shapes: K matrices of one shape, M rows (outputs), N columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.optimizer.normalize.base import Normalizer

NAME = "second_moment"


class NorMuon(Normalizer):
    """``optimizer/normalize=normuon``."""

    def __init__(self, *, beta2: Annotated[float, Between(0, 0.9999)], of: Literal["rows", "longer_side"]) -> None:
        self.beta2, self.of = beta2, of

    def new_state(self, like_KMN: Tensor) -> dict[str, Tensor]:
        mean = like_KMN.float().mean(dim=self._over(like_KMN), keepdim=True)
        return {NAME: torch.zeros_like(mean)}

    def after(self, o_KMN: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        mean_square = o_KMN.square().mean(dim=self._over(o_KMN), keepdim=True)
        even_KMN = o_KMN * state[NAME].lerp_(mean_square, 1 - self.beta2).clamp_min(1e-10).rsqrt()
        norm, even_norm = (x.norm(dim=(-2, -1), keepdim=True) for x in (o_KMN, even_KMN))
        return even_KMN * (norm / even_norm.clamp_min(1e-10))

    def _over(self, x_KMN: Tensor) -> int:
        return -2 if self.of == "longer_side" and x_KMN.size(-2) < x_KMN.size(-1) else -1
