"""How large the residual stream is behind each block: root mean square of its numbers, by visit.

Measured in a copy of the model, in one pass over some windows, so that neither the model nor a compiled graph of it
knows. Shapes: B windows, T positions, D model.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.lanes.base import ResidualStream
from pgolf.arch.unet import UNet


@torch.no_grad()
def activation_rms(model: UNet, ids_BT: Tensor) -> dict[str, float]:
    """Of the active route's visits in their order: ``3.layer_2``, the fourth visit, to layer 2; where the stream has
    lanes, ``3.layer_2.lane_0`` and so on. ``ids_BT`` lies where the model does."""
    twin = copy.deepcopy(model).eval()
    found: dict[str, Tensor] = {}
    run = twin.lanes.run

    def watched(block: Block, stream: ResidualStream, context: ForwardContext) -> ResidualStream:
        left = run(block, stream, context)
        for lane, x_BTD in enumerate(left):
            place = f"{block.visit.virtual}.layer_{block.visit.physical}" + (f".lane_{lane}" if len(left) > 1 else "")
            found[place] = x_BTD.float().square().mean().sqrt()
        return left

    twin.lanes.run = watched  # type: ignore[method-assign]
    twin.hidden(ids_BT)
    return {place: float(value) for place, value in found.items()}
