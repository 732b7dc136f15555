"""Orthogonal matrices in every linear that does not write to the residual stream; the rest as in zero_proj.

``WᵀW = 1`` or ``WWᵀ = 1`` (gain 1) where both dimensions are ``min_dim`` at least; smaller ones keep the default.
``scale_projections`` multiplies the matrices named ``projection`` by 1/√(2L): nothing for those into the residual
stream, which are zero, but the sources so shrink the projections of bigram and value embeddings too.
Source: #65, #162 onward; the scale #687, #860; spec arch §11.
Cost: none in bytes or step time. Hurts: "no improvement" in #687's log.
"""

from __future__ import annotations

import torch

from pgolf.arch.init.steps import linears, normal_embedding, orthogonal_linears, zero_projections
from pgolf.arch.unet import UNet
from pgolf.core.ranges import PositiveFloat, PositiveInt


class Orthogonal:
    def __init__(self, *, embedding_std: PositiveFloat, min_dim: PositiveInt, scale_projections: bool) -> None:
        self.embedding_std, self.min_dim = embedding_std, min_dim
        self.scale_projections = scale_projections

    @torch.no_grad()
    def apply(self, model: UNet) -> None:
        """Initialise ``model`` in place."""
        normal_embedding(model, self.embedding_std)
        orthogonal_linears(model, self.min_dim)
        zero_projections(model)
        if self.scale_projections:
            for name, linear in linears(model):
                if name.rpartition(".")[2] == "projection":
                    linear.weight.mul_((2 * model.dims.layers) ** -0.5)
