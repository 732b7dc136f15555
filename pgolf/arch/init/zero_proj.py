"""The baseline's start: projections into the residual stream zero, embedding N(0, std²), the rest default.

Every block is then a no-op at step 0, so queries, keys, values and gates get their first gradient only after
one step (spec arch §1, "step-0 trap").
Source: the public baseline, std 0.005; spec arch §2, §11.
Cost: none in bytes or step time. Hurts: nowhere known, beyond that first step.
"""

from __future__ import annotations

from pgolf.arch.init.steps import normal_embedding, zero_projections
from pgolf.arch.unet import UNet
from pgolf.core.ranges import PositiveFloat


class ZeroProj:
    def __init__(self, *, embedding_std: PositiveFloat) -> None:
        self.embedding_std = embedding_std

    def apply(self, model: UNet) -> None:
        """Initialise ``model`` in place."""
        normal_embedding(model, self.embedding_std)
        zero_projections(model)
