"""The steps that initialisations share; an option of this group is a choice and order of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pgolf.arch.base import Linear
from pgolf.arch.unet import UNet


def linears(model: UNet) -> Iterator[tuple[str, Linear]]:
    """Every linear of the model with its name, shared ones once, the head not among them."""
    for name, module in model.named_modules():
        if isinstance(module, Linear) and module is not model.head:
            yield name, module


@torch.no_grad()
def normal_embedding(model: UNet, std: float) -> None:
    """Embedding ~ N(0, std²)."""
    if not model.embedding.is_meta:  # nothing to fill; drawing there would load the compiler, 2 s of every start
        model.embedding.normal_(0.0, std)


@torch.no_grad()
def zero_projections(model: UNet) -> None:
    """Projections into the residual stream are zero, so that every block starts as a no-op."""
    for _, linear in linears(model):
        if linear.writes_residual:
            linear.weight.zero_()


@torch.no_grad()
def orthogonal_linears(model: UNet, min_dim: int) -> None:
    """Orthogonal matrices (gain 1) in all other linears whose two dimensions are ``min_dim`` at least."""
    for _, linear in linears(model):
        if not linear.writes_residual and min(linear.weight.shape) >= min_dim:
            torch.nn.init.orthogonal_(linear.weight)
