"""The baseline's start: projections into the residual stream zero, embedding N(0, std²), the rest default.

Every block is then a no-op at step 0, so queries, keys, values and gates get their first gradient only after
one step (spec arch §1, "step-0 trap"). Source: spec arch §2, §11.
"""

from __future__ import annotations

import torch

from pgolf.arch.part import Linear
from pgolf.arch.unet import UNet
from pgolf.core.ranges import PositiveFloat


class ZeroProj:
    def __init__(self, *, embedding_std: PositiveFloat) -> None:
        self.embedding_std = embedding_std

    @torch.no_grad()
    def apply(self, model: UNet) -> None:
        """Initialise ``model`` in place."""
        model.embedding.normal_(0.0, self.embedding_std)
        for module in model.modules():
            if isinstance(module, Linear) and module.writes_residual:
                module.weight.zero_()
        for own, _ in model.own_weights():
            own.zero_()
