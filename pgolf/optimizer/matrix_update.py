"""From the gradients of matrices to their update: momentum, then orthogonalisation between two normalisations.

Formula: ``M ← μM + G;  U = G + μM`` (Nesterov; else U = M)``;  O = after(NS(before(U)))``. Pure but for the state that
it is handed, so that whoever holds a stack of gradients and its state computes the update: the whole process, or the
rank of many that the stack belongs to.
Cost: see ``muon`` and the options of ``orthogonal`` and ``normalize``.

Shapes: K matrices of one shape, M rows (outputs), N columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pgolf.optimizer.normalize.base import Normalizer


class Orthogonalizes(Protocol):
    def __call__(self, u_KMN: Tensor) -> Tensor:
        """Each matrix with singular values near 1, in u's dtype; a matrix of zeros stays one."""
        ...


class MatrixUpdate:
    """``update(gradients, state, momentum)``."""

    def __init__(self, orthogonal: Orthogonalizes, normalizer: Normalizer, nesterov: bool) -> None:
        self.orthogonal, self.normalizer, self.nesterov = orthogonal, normalizer, nesterov

    def new_state(self, like_KMN: Tensor) -> dict[str, Tensor]:
        """The state before the first step, on the device of ``like_KMN``: fp32 tensors by name, K entries along their
        first dimension, so that matrices can be put together and taken apart there."""
        momentum_KMN = torch.zeros_like(like_KMN, dtype=torch.float32)
        return {"momentum_buffer": momentum_KMN, **self.normalizer.new_state(like_KMN)}

    def __call__(self, gradient_KMN: Tensor, state: Mapping[str, Tensor], momentum: float) -> Tensor:
        """fp32 [K, M, N] of fp32 gradients, before learning rate and ``shape_scale``; ``state`` goes on in place."""
        buffer_KMN = state["momentum_buffer"]
        buffer_KMN.mul_(momentum).add_(gradient_KMN)
        u_KMN = gradient_KMN.add(buffer_KMN, alpha=momentum) if self.nesterov else buffer_KMN
        return self.normalizer.after(self.orthogonal(self.normalizer.before(u_KMN)), state)


def shape_scale(shape: torch.Size) -> float:
    """The factor max(1, M/N)^½ on the update of a matrix of this shape, whole, not of a rank's part of it."""
    rows, columns = shape
    return max(1.0, rows / columns) ** 0.5
