"""Residual mixes that pass from the embedding to the stream with depth; the rest as in zero_proj.

``p_i = σ(steepness·(i/(L−1) − ½))`` and ``r = (p_i, 1−p_i)`` for all visits of layer i: 0.18 → 0.82 of the stream at
steepness 3. A block is then no identity at step 0.
Source: #60; spec arch §11. Cost: none in bytes or step time. Hurts: it hurt #187, which went back.
"""

from __future__ import annotations

import math

import torch

from pgolf.arch.init.steps import normal_embedding, zero_projections
from pgolf.arch.unet import UNet
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveFloat


class PhaseTransition:
    def __init__(self, *, embedding_std: PositiveFloat, steepness: PositiveFloat) -> None:
        self.embedding_std, self.steepness = embedding_std, steepness

    @torch.no_grad()
    def apply(self, model: UNet) -> None:
        """Initialise ``model`` in place; raises ConfigError for a single layer."""
        last = model.dims.layers - 1
        if last < 1:
            raise ConfigError(f"arch.init: phase_transition needs 2 layers at least; there is {last + 1}")
        normal_embedding(model, self.embedding_std)
        zero_projections(model)
        for route in sorted(model.routes.values(), key=lambda s: len(s.visits)):
            for visit in route.visits:  # where visits share a key, the longest route has the last word
                stream = 1.0 / (1.0 + math.exp(-self.steepness * (visit.physical / last - 0.5)))
                mix = model.get_parameter(f"controls.{visit.key}.residual_mix")
                mix[0].fill_(stream)
                mix[1].fill_(1.0 - stream)
